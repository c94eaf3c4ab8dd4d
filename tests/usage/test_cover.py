"""Cutting windows: whole days from the sums, added and subtracted ranges of the log at the edges."""

import datetime as dt

from hypothesis import example, given, settings
from hypothesis import strategies as st

from usage.selectors import cover

MICROSECOND = dt.timedelta(microseconds=1)
DAY = dt.timedelta(days=1)
NOON = dt.datetime(2026, 3, 15, 12, tzinfo=dt.UTC)

ZONES = st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=45)), dt.timezone(-dt.timedelta(hours=14))])
AWKWARD = st.sampled_from(
    [dt.timedelta(0), MICROSECOND, -MICROSECOND, DAY / 2, DAY / 2 - MICROSECOND, DAY - MICROSECOND]
)
MOMENTS = st.one_of(
    st.builds(lambda zone, seconds: (NOON + seconds).astimezone(zone), ZONES, st.timedeltas(-90 * DAY, 60 * DAY)),
    st.builds(lambda day, shift: NOON.replace(hour=0) + day * DAY + shift, st.integers(-40, 40), AWKWARD),
)


def weight_at(moment, first_day, day_after, slices):
    """Return how often a request at this time is counted."""
    times = int(first_day <= moment.astimezone(dt.UTC).date() < day_after)
    return times + sum(part.sign for part in slices if part.start <= moment < part.end)


@settings(max_examples=400, deadline=None, database=None)
@given(sides=st.tuples(MOMENTS, MOMENTS), now=MOMENTS)
@example(sides=(NOON, NOON + MICROSECOND), now=NOON)
@example(sides=(NOON - DAY / 2, NOON + DAY / 2), now=NOON)
@example(sides=(NOON - DAY / 2, NOON), now=NOON)
@example(sides=(NOON - DAY / 2 + MICROSECOND, NOON + DAY / 2), now=NOON)
def test_every_instant_of_a_window_counts_once_and_every_other_not_at_all(sides, now):
    start, end = min(sides), max(sides) + MICROSECOND

    cut = cover(start, end, now)

    first_day, day_after, slices = cut
    edges = {start, end, now}
    for part in slices:
        edges |= {part.start, part.end}
    for day in (first_day, day_after):
        edges.add(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC))
    # The count changes at edges only, so checking at and just before each of them checks every time.
    for moment in {edge + shift for edge in edges for shift in (dt.timedelta(0), -MICROSECOND)}:
        assert weight_at(moment, *cut) == (start <= moment < end), moment


@settings(max_examples=200, deadline=None, database=None)
@given(sides=st.tuples(MOMENTS, MOMENTS), now=MOMENTS)
def test_at_most_two_parts_within_a_day_are_read_from_the_log(sides, now):
    _, _, slices = cover(min(sides), max(sides) + MICROSECOND, now)

    assert len(slices) <= 2
    for part in slices:
        assert part.start < part.end
        assert part.start.date() == (part.end - MICROSECOND).date()
        assert part.start.tzinfo is dt.UTC


def test_whole_days_need_no_log():
    assert cover(NOON.replace(hour=0), NOON.replace(hour=0) + 30 * DAY, NOON)[2] == []


def test_until_now_takes_away_the_empty_rest_of_today():
    start = NOON.replace(day=1, hour=0)

    first_day, day_after, (rest,) = cover(start, NOON, NOON)

    assert (first_day, day_after) == (start.date(), NOON.date() + DAY)
    assert (rest.sign, rest.start) == (-1, NOON)


def test_a_short_window_within_a_long_day_is_read_from_the_log():
    first_day, day_after, (part,) = cover(NOON, NOON + dt.timedelta(minutes=1), NOON + 5 * DAY)

    assert first_day == day_after
    assert (part.start, part.end, part.sign) == (NOON, NOON + dt.timedelta(minutes=1), 1)
