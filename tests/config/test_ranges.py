from __future__ import annotations

import datetime as dt

import pytest

from config.http.filters import TimeRangeFilterSet
from config.models import RateWindow
from config.values.times import NotAnInstant, NotARange, TimeRange, parse_instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-02-03", "2026-02-03T00:00:00"),
        ("2026-02-03T04:05", "2026-02-03T04:05:00"),
        ("2026-02-03T04:05Z", "2026-02-03T04:05:00"),
        ("2026-02-03T04:05:06", "2026-02-03T04:05:06"),
        ("2026-02-03T04:05:06.5Z", "2026-02-03T04:05:06.500000"),
        ("2026-02-03T04:05:06.123456Z", "2026-02-03T04:05:06.123456"),
        ("2026-02-03T04:05:06+02:00", "2026-02-03T02:05:06"),
        ("2026-02-03T04:05:06-03:30", "2026-02-03T07:35:06"),
        ("2026-02-03T04:05+14:00", "2026-02-02T14:05:00"),
        ("2026-02-03T04:05-14:00", "2026-02-03T18:05:00"),
        ("2000-01-01", "2000-01-01T00:00:00"),
        ("2100-12-31T23:59:59Z", "2100-12-31T23:59:59"),
        ("2028-02-29", "2028-02-29T00:00:00"),
    ],
)
def test_a_timestamp_is_read_in_utc(text, instant):
    assert parse_instant(text) == dt.datetime.fromisoformat(instant).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "2026", "2026-02", "20260203", "2026-W05", "2026-W05-1", "2026-034", "2026-2-3",
        "2026-02-30", "2026-13-01", "2027-02-29", "0000-01-01", "1999-12-31", "2101-01-01", "9999-12-31",
        "2026-02-03 04:05", "2026-02-03t04:05", "2026-02-03T04:05z", "2026-02-03T04", "2026-02-03T24:00",
        "2026-02-03T04:60", "2026-02-03T04:05:60", "2026-02-03T04:05:06,5", "2026-02-03T04:05:06.",
        "2026-02-03T04:05:06.1234567", "2026-02-03T04:05+0200", "2026-02-03T04:05+02", "2026-02-03T04:05+14:01",
        "2026-02-03T04:05+18:02", "2026-02-03T04:05+02:60", "2026-02-03T04:05−02:00", "2026-02-03T04:05:06.5.Z",
        "２026-02-03", "2026-02-03Z", "2026-02-03+02:00", " 2026-02-03", "2026-02-03\n", "1770091200",
        "2026-02-03T04:05Z\x00",
    ],
)  # fmt: skip
def test_any_other_form_is_refused_in_a_sentence(text):
    with pytest.raises(NotAnInstant, match=r"\.$"):
        parse_instant(text)


def test_a_bare_plus_that_came_as_a_space_is_hinted_at():
    with pytest.raises(NotAnInstant, match="%2B"):
        parse_instant("2026-02-03T04:05:06 02:00")


def test_a_date_as_the_end_includes_its_whole_day():
    assert parse_instant("2100-12-31", end=True) == dt.datetime(2101, 1, 1, tzinfo=dt.UTC)
    assert parse_instant("2026-02-03T00:00", end=True) == dt.datetime(2026, 2, 3, tzinfo=dt.UTC)


def test_one_date_on_both_sides_is_one_day():
    window = TimeRange.parse("2026-02-03", "2026-02-03")

    assert window.start is not None
    assert window.end is not None
    assert window.end - window.start == dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-02-03T00:00", "2026-02-03T00:00"),
        ("2026-02-03T00:00:01Z", "2026-02-03T00:00Z"),
        ("2026-02-04", "2026-02-03"),
        ("2026-02-03T01:00+01:00", "2026-02-03T00:00Z"),
    ],
)
def test_a_window_that_is_empty_names_its_start(start, end):
    with pytest.raises(NotARange) as refused:
        TimeRange.parse(start, end)

    assert list(refused.value.errors) == ["from"]


def test_each_side_that_cannot_be_read_is_named():
    with pytest.raises(NotARange) as refused:
        TimeRange.parse("x", "y")

    assert set(refused.value.errors) == {"from", "to"}


def test_a_side_that_is_not_given_stays_open():
    assert TimeRange.parse(None, None) == TimeRange(None, None)


class _WindowFilters(TimeRangeFilterSet):
    time_field = "minute"


def test_a_filter_set_reads_the_same_forms_and_refuses_the_same():
    good = _WindowFilters({"from": "2026-02-03", "to": "2026-02-03"}, queryset=RateWindow.objects.none())
    bad = _WindowFilters({"from": "2026-02-04", "to": "2026-02-03"}, queryset=RateWindow.objects.none())
    unread = _WindowFilters({"to": "x"}, queryset=RateWindow.objects.none())

    assert good.is_valid()
    assert good.form.cleaned_data["to"] - good.form.cleaned_data["from"] == dt.timedelta(days=1)
    assert list(bad.errors) == ["from"]
    assert list(unread.errors) == ["to"]
