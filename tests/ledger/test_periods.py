"""When periods begin: the same in Python and in the database, for any anchor."""

import calendar
import datetime as dt
import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.services.subscriptions.periods import months_after, prorated
from tests.conftest import owner_connection

pytestmark = pytest.mark.django_db(transaction=True)

ZONES = st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-11))])
SECONDS = st.integers(946_684_800, 4_133_980_799)  # the years 2000 to 2100
ANCHORS = st.builds(dt.datetime.fromtimestamp, SECONDS, ZONES)


@pytest.mark.parametrize(
    ("anchor", "months", "start"),
    [
        ("2026-01-31", 1, "2026-02-28"), ("2026-01-31", 2, "2026-03-31"), ("2024-01-31", 1, "2024-02-29"),
        ("2026-10-31", 1, "2026-11-30"), ("2026-12-31", 2, "2027-02-28"), ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", 48, "2028-02-29"), ("2096-02-29", 48, "2100-02-28"), ("2026-05-15", 12, "2027-05-15"),
    ],
)  # fmt: skip
def test_a_period_begins_on_the_anchors_day_or_the_months_last(anchor, months, start):
    assert months_after(_at(anchor), months) == _at(start)


@settings(max_examples=200, deadline=None)
@given(anchor=ANCHORS, step=st.sampled_from([1, 12]), first=st.integers(0, 600))
def test_periods_follow_each_other_and_never_drift(anchor, step, first):
    starts = [months_after(anchor, (first + number) * step) for number in range(14)]

    days = [(after - before).days for before, after in itertools.pairwise(starts)]
    assert all(28 * (step == 1) + 365 * (step == 12) <= length <= 31 + 335 * (step == 12) for length in days)
    utc = anchor.astimezone(dt.UTC)
    for start in starts:
        assert start.timetz() == utc.timetz()
        assert start.day == min(utc.day, calendar.monthrange(start.year, start.month)[1])


def test_the_database_counts_the_same_way():
    with owner_connection() as connection:
        connection.execute("SET TIME ZONE 'America/New_York'")  # whatever the session's time zone

        @settings(max_examples=150, deadline=None)
        @given(anchor=ANCHORS, months=st.integers(0, 1300))
        def counts_alike(anchor, months):
            query = "SELECT ledger_months_after(%s, %s)"
            assert connection.execute(query, [anchor, months]).fetchone() == (months_after(anchor, months),)

        counts_alike()


def test_the_database_prorates_the_same_way():
    with owner_connection() as connection:

        @settings(max_examples=150, deadline=None)
        @given(
            credits=st.decimals(0, Decimal("999999999.999999"), places=6),
            whole=st.timedeltas(dt.timedelta(days=27), dt.timedelta(days=366)),
            share=st.floats(0, 1),
        )
        def prorates_alike(credits, whole, share):
            part = min(whole * share, whole)
            credits_of_part = prorated(credits, part=part, whole=whole)
            query = "SELECT ledger_prorated(%s, %s, %s)"
            assert connection.execute(query, [credits, part, whole]).fetchone() == (credits_of_part,)
            assert 0 <= credits_of_part <= credits

        prorates_alike()


@pytest.mark.parametrize(
    ("credits", "part", "whole", "expected"),
    [
        ("100", 1, 2, "50"), ("100", 1, 3, "33.333333"), ("100", 2, 3, "66.666667"), ("0.000001", 1, 2, "0.000001"),
        ("0.000001", 49, 100, "0"), ("0.000003", 1, 2, "0.000002"), ("999999999.999999", 1, 1, "999999999.999999"),
    ],
)  # fmt: skip
def test_a_part_is_rounded_to_six_places_half_up(credits, part, whole, expected):
    of_part = prorated(Decimal(credits), part=dt.timedelta(days=part), whole=dt.timedelta(days=whole))

    assert of_part == Decimal(expected)


def _at(date):
    return dt.datetime.fromisoformat(date).replace(hour=23, minute=59, tzinfo=dt.UTC)
