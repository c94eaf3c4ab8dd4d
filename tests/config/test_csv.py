from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from config.http.csv import cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx"])
def test_text_that_would_start_a_formula_gets_an_apostrophe(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text",
    [" =1", "   @SUM(A1)", "\u00a0=1", "\u3000+1", "\ufeff=1", "\u200b=1", "\u202e=1", "\uff1d1+1", "\uff0b1",
     "\uff0d1", "\uff20SUM(A1)", " \uff1d1"],
)  # fmt: skip
def test_blanks_and_full_width_signs_do_not_hide_a_formula(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("x;=1+1", "x;'=1+1"),
        ("x; =1+1", "x; '=1+1"),
        ("x\t=1+1", "x\t'=1+1"),
        ("x\n=1+1", "x\n'=1+1"),
        ("x\r\n@SUM(A1)", "x\r\n'@SUM(A1)"),
        ("x|+1", "x|'+1"),
        ("x;;\uff1d1;-1", "x;;'\uff1d1;'-1"),
        ("\t=1", "'\t'=1"),
        (";=1", ";'=1"),
    ],
)
def test_a_formula_behind_another_separator_gets_an_apostrophe_too(text, written):
    assert cell(text) == written


@pytest.mark.parametrize(
    "text",
    ["a=b", "a-b", "x, -5", "x,=1", "a; b", "2026-11-28", "GET /v1/a-b?c=d", "a@example.com", "1-2", "x;5", "", ";"],
)
def test_text_that_starts_no_formula_stays_as_it_is(text):
    assert cell(text) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("-12.5"), "-12.5"),
        (Decimal("1E+2"), "100"),
        (-3, "-3"),
        (Decimal("-0.000001"), "-0.000001"),
        ({"a": [1, -2], "b": Decimal("-1.5")}, '{"a":[1,-2],"b":-1.5}'),
        (None, ""),
        (True, "true"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2026-01-01T00:00:00Z"),
        ("plain", "plain"),
        ({"a": Decimal("1.5")}, '{"a":1.5}'),
    ],
)
def test_numbers_times_and_plain_text_stay_what_they_are(value, written):
    assert cell(value) == written


def test_rows_are_streamed_as_a_file_that_is_not_cached(edge):
    answer = edge.get("/v2/csv")

    assert answer.streaming
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="rows.csv"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert b"".join(answer.streaming_content).decode() == (
        "text,credits,at\r\n'=1+1,-12.5,\r\n'@x,-3,2026-01-01T00:00:00Z\r\n"
    )


def test_a_head_request_reads_no_rows(edge):
    answer = edge.head("/v2/csv")

    assert answer.status_code == 200
    assert answer.getvalue() == b""
