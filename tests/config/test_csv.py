from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from config.http.csv import cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx"])
def test_text_that_would_start_a_formula_gets_an_apostrophe(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("-12.5"), "-12.5"),
        (Decimal("1E+2"), "100"),
        (-3, "-3"),
        (None, ""),
        (True, "true"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2026-01-01T00:00:00Z"),
        ("plain", "plain"),
        ({"a": Decimal("1.5")}, '{"a":1.5}'),
    ],
)
def test_numbers_times_and_plain_text_stay_what_they_are(value, written):
    assert cell(value) == written


def test_rows_are_streamed_as_a_file_that_nobody_caches(edge):
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
