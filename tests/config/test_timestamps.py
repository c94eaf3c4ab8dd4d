"""Timestamps in bodies and logs: every form of RFC 3339, section 5.6."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.values.times import NotAnInstant
from config.values.timestamps import instant_text, parse_timestamp


def at(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-20T10:00:00Z", at(2026, 11, 20, 10)),
        ("2026-11-20T10:00:00.7Z", at(2026, 11, 20, 10, 0, 0, 700_000)),
        ("2026-11-20T10:00:00.735539Z", at(2026, 11, 20, 10, 0, 0, 735_539)),
        ("2026-11-20T10:00:00.7355395Z", at(2026, 11, 20, 10, 0, 0, 735_539)),
        ("2026-11-20T10:00:00.735539596Z", at(2026, 11, 20, 10, 0, 0, 735_539)),
        ("2026-11-20T23:59:59.999999999Z", at(2026, 11, 20, 23, 59, 59, 999_999)),
        ("2026-11-20T10:00:00." + "0" * 5_000 + "Z", at(2026, 11, 20, 10)),
        ("2026-11-20t10:00:00z", at(2026, 11, 20, 10)),
        ("2026-11-20t10:00:00.5+01:00", at(2026, 11, 20, 9, 0, 0, 500_000)),
        ("2026-11-20 10:00:00Z", at(2026, 11, 20, 10)),
        ("2026-11-20T10:00:03+0000", at(2026, 11, 20, 10, 0, 3)),
        ("2026-11-20T10:00:03.25-0730", at(2026, 11, 20, 17, 30, 3, 250_000)),
        ("2026-11-20T10:00:00-00:00", at(2026, 11, 20, 10)),
        ("2026-11-20T10:00:00+14:00", at(2026, 11, 19, 20)),
        ("2016-12-31T23:59:60Z", at(2017, 1, 1)),
        ("2016-12-31T15:59:60.7-08:00", at(2017, 1, 1)),
        ("2026-11-20T10:00", at(2026, 11, 20, 10)),
        ("2026-11-20T10:00:00.123", at(2026, 11, 20, 10, 0, 0, 123_000)),
        ("2026-11-20", at(2026, 11, 20)),
    ],
)
def test_a_timestamp_is_read_in_every_form(text, instant):
    read = parse_timestamp(text)

    assert read == instant
    assert read.utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "20261120T100000Z", "2026-11-20T", "2026-11-20T10Z", "2026-11-20T10:00:00.Z"),
        *("2026-11-20T10:00:00,5Z", "2026-11-20Z", "2026-W47-5T10:00:00Z", "2026-11-20T10:00:00 +01:00"),
        *("2026-11-20T10:00:00+1", "2026-11-20T10:00:00+01:0", "2026-11-20T10:00:00ZZ", "2026-11-20T10:00:00Z\n"),
        *("\u0662026-11-20T10:00:00Z", "2026-11-20T10:00:00.\u0661Z", "2026-11-20\u00a010:00:00Z"),
        *("2026-02-30T10:00:00Z", "2026-11-20T24:00:00Z", "2026-11-20T10:60:00Z", "2026-11-20T10:00:60Z"),
        *("2026-11-20T10:59:61Z", "2026-11-20T10:00:00+14:01", "2026-11-20T10:00:00+18:02"),
        *("2026-11-20T10:00:00+00:60", "1999-12-31T23:59:59Z", "2101-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_timestamp_of_another_form_is_refused(text):
    with pytest.raises(NotAnInstant):
        parse_timestamp(text)


@given(st.integers(0, 3_000_000_000_000_000))
def test_a_printed_instant_is_read_back(microseconds):
    instant = at(2000, 1, 1) + dt.timedelta(microseconds=microseconds)

    assert parse_timestamp(instant_text(instant)) == instant
