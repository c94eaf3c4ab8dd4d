"""For any text, each parser returns a value within its bounds or raises its own error, and nothing else."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from config.http.parsers import MalformedJson, parse_strictly
from config.values.credits import LARGEST, PLACES, NotACreditAmount, parse_credits, percentage, plain
from config.values.cursors import BrokenCursor, open_cursor, seal_cursor
from config.values.times import NotAnInstant, NotARange, TimeRange, parse_instant
from usage.services.imports.combined import combined_parser
from usage.services.imports.records import csv_parser, jsonl_parser
from usage.services.imports.reported import LineRejected, ReportedRequest

quickly = settings(max_examples=200, derandomize=True, database=None, deadline=None)
ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates and NUL among them
NUMBERS = st.one_of(
    st.integers(),
    st.decimals(),
    st.floats(),
    st.booleans(),
    st.none(),
    ANY_TEXT,
    st.from_regex(r"[-+]?[0-9_.eE]{0,30}"),
    st.decimals(-LARGEST, LARGEST, places=PLACES).map(str),
    st.lists(st.integers(), max_size=2),
)
INSTANTS = st.one_of(
    ANY_TEXT,
    st.datetimes().map(dt.datetime.isoformat),
    st.datetimes(timezones=st.timezones()).map(dt.datetime.isoformat),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)


@quickly
@given(NUMBERS, st.booleans(), st.booleans())
@example(Decimal("1e999999999"), False, False)
@example(Decimal("sNaN"), True, True)
@example(10**5_000, True, True)
def test_credits_are_exact_and_within_bounds_or_refused(value, allow_negative, allow_zero):
    try:
        credits = parse_credits(value, allow_negative=allow_negative, allow_zero=allow_zero)
    except NotACreditAmount:
        return

    assert abs(credits) <= LARGEST
    assert credits == round(credits, PLACES) == Decimal(value)
    assert (credits > 0) or (credits == 0 and allow_zero) or (credits < 0 and allow_negative)
    assert str(plain(credits)) == str(credits)
    assert parse_credits(str(credits), allow_negative=True, allow_zero=True) == credits


@quickly
@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_percentage_of_a_part_lies_between_nothing_and_all(part, whole):
    shown = percentage(min(part, whole), whole)

    assert 0 <= shown <= 100
    assert (shown == 100) == (part >= whole > 0)
    assert "." in str(shown)


@quickly
@given(INSTANTS, st.booleans())
@example("2100-12-31", True)
@example("2000-01-01T00:00:00+14:00", False)
@example("2100-12-31T23:59:59.999999-14:00", True)
def test_an_instant_is_in_utc_and_of_the_years_kept_or_refused(text, end):
    try:
        moment = parse_instant(text, end=end)
    except NotAnInstant:
        return

    assert moment.utcoffset() == dt.timedelta(0)
    assert abs(moment - dt.datetime(2050, 7, 1, tzinfo=dt.UTC)) < dt.timedelta(days=51 * 366)


@quickly
@given(st.none() | INSTANTS, st.none() | INSTANTS)
def test_a_window_is_not_empty_or_refused(start, end):
    try:
        window = TimeRange.parse(start, end)
    except NotARange:
        return

    assert window.start is None or window.end is None or window.start < window.end


@quickly
@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())))
@example(b"1e99999999999999999999")
@example(b'{"a":' * 5_000)
def test_json_is_read_or_refused(body):
    with contextlib.suppress(MalformedJson, ValidationError):
        parse_strictly(body)


@quickly
@given(st.one_of(ANY_TEXT, st.binary(max_size=40).map(bytes.hex), st.text("ABCabc012-_=", max_size=40)))
def test_a_cursor_that_was_not_given_out_is_broken(text):
    with pytest.raises(BrokenCursor):
        open_cursor(text, of="/list")


@quickly
@given(st.lists(st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=3))
def test_a_cursor_opens_for_its_own_list_alone(position):
    sealed = seal_cursor(position, of="/list")

    assert open_cursor(sealed, of="/list") == position
    with pytest.raises(BrokenCursor):
        open_cursor(sealed, of="/other")


FIELDS = ("email", "time", "endpoint", "path", "method", "status", "units", "latency_ms", "reference")
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "email": ANY_TEXT | st.just("a@example.com"),
        "time": INSTANTS | st.just("2026-01-01T00:00:00Z"),
        "endpoint": ANY_TEXT | st.just("/x"),
        "path": JSON,
        "method": ANY_TEXT | st.just("get"),
        "status": NUMBERS.filter(lambda value: not isinstance(value, Decimal)) | st.just(200),
        "units": NUMBERS.filter(lambda value: not isinstance(value, Decimal)),
        "latency_ms": JSON,
        "reference": JSON,
    },
)
COMBINED = st.tuples(
    ANY_TEXT | st.just("203.0.113.7"),
    ANY_TEXT | st.just("-"),
    ANY_TEXT | st.just("04/Feb/2026:10:00:00 +0000") | st.from_regex(r"[0-9]{2}/Feb/[0-9]{4}:99:00:00 [+-][01][0-9]00"),
    ANY_TEXT | st.just("GET /x HTTP/1.1"),
    ANY_TEXT | st.integers(0, 999).map(lambda status: f"{status:03}"),
).map(lambda parts: '{} - {} [{}] "{}" {} 12 "-" "curl"'.format(*parts))


def is_recordable(request: Any) -> bool:
    assert isinstance(request, ReportedRequest)
    assert 100 <= request.status <= 599
    assert 2000 <= request.occurred_at.year <= 2100
    assert request.units >= 0
    (request.customer + request.path + request.method + (request.reference or "")).encode()
    return "\0" not in request.path


@quickly
@given(st.one_of(ANY_TEXT, RECORDS.map(json.dumps), JSON.map(json.dumps)))
@example('{"units":1e99999999999999999999}')
@example('{"units":NaN}')
@example('{"email":"a","time":"2026-01-01","path":"/","status":200,"units":1e400}')
@example("[" * 100_000)
@example('{"email":' + "9" * 5_000 + "}")
def test_a_json_line_is_a_request_or_rejected(line):
    with contextlib.suppress(LineRejected):
        assert is_recordable(jsonl_parser("email")(line))


@quickly
@given(st.one_of(ANY_TEXT, st.lists(ANY_TEXT, min_size=4, max_size=4).map(",".join)))
@example('a,"2026-01-01\n",200,/x')
@example("a,2026-01-01T00:00Z,200,/x")
@example("a," * 200_000)
def test_a_csv_line_is_a_request_or_rejected(line):
    with contextlib.suppress(LineRejected):
        assert is_recordable(csv_parser("email", "email,time,status,path")(line))


@quickly
@given(st.one_of(ANY_TEXT, COMBINED), st.sampled_from(["host", "user"]))
@example('a - - [31/Dec/2100:23:59:59 -1400] "GET /" 200 1', "host")
@example('a - - [01/Jan/0001:00:00:00 +1400] "GET /" 200 1', "host")
@example('a - - [01/Jan/2026:00:00:00 +0000] "\\', "host")
@example("a - " + "b [" * 5_000, "user")
@example('a - - [01/Jan/2026:00:00:00 +0000] "' + "\\" * 20_000, "host")
def test_a_line_of_a_combined_log_is_a_request_or_rejected(line, field):
    with contextlib.suppress(LineRejected):
        assert is_recordable(combined_parser(field)(line))
