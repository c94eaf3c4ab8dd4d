"""The reset of a key's spending: when it occurs, and what it changes."""

import calendar
import datetime as dt

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import InsufficientCredits
from tests.factories import customer_with
from tests.ledger.tampering import tamper
from tests.usage.key_limits import limit, limited_key
from tests.usage.metering import captured, price, refund
from usage.models import KeySpending

DAY = dt.timedelta(days=1)


def began(reset_day, at):
    with connection.cursor() as cursor:
        cursor.execute("SELECT usage_spending_began(%s, %s)", [reset_day, at])
        return cursor.fetchone()[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reset_day", "at", "began_on"),
    [
        (1, "2026-11-22T10:00Z", "2026-11-01"),
        (1, "2026-11-01T00:00Z", "2026-11-01"),
        (1, "2026-10-31T23:59:59.999999Z", "2026-10-01"),
        (22, "2026-11-22T00:00Z", "2026-11-22"),
        (23, "2026-11-22T23:59Z", "2026-10-23"),
        (31, "2026-11-29T12:00Z", "2026-10-31"),
        (31, "2026-11-30T00:00Z", "2026-11-30"),
        (31, "2026-12-30T12:00Z", "2026-11-30"),
        (31, "2027-01-01T00:00Z", "2026-12-31"),
        (15, "2027-01-14T12:00Z", "2026-12-15"),
        # February, short and long
        (31, "2026-02-27T12:00Z", "2026-01-31"),
        (31, "2026-02-28T00:00Z", "2026-02-28"),
        (31, "2026-03-30T12:00Z", "2026-02-28"),
        (31, "2026-03-31T00:00Z", "2026-03-31"),
        (29, "2026-02-28T12:00Z", "2026-02-28"),
        (30, "2028-02-28T12:00Z", "2028-01-30"),
        (30, "2028-02-29T00:00Z", "2028-02-29"),
        (29, "2028-03-28T12:00Z", "2028-02-29"),
        (29, "2100-02-28T12:00Z", "2100-02-28"),  # 2100 is no leap year, 2000 was one
        (29, "2000-02-28T12:00Z", "2000-01-29"),
        # The day is one of UTC, whatever the zone of the time
        (1, "2026-12-01T00:30+01:00", "2026-11-01"),
        (1, "2026-11-30T23:30-01:00", "2026-12-01"),
    ],
)
@pytest.mark.parametrize("time_zone", ["UTC", "Pacific/Auckland"])
def test_the_count_begins_on_the_reset_day_or_the_last_of_a_shorter_month(time_zone, reset_day, at, began_on):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [time_zone])

    assert began(reset_day, at).isoformat() == began_on


def began_by_the_calendar(reset_day, at):
    """Return the latest reset day, found by walking back from the day itself."""
    day = at.astimezone(dt.UTC).date()
    while day.day != min(reset_day, calendar.monthrange(day.year, day.month)[1]):
        day -= DAY
    return day


@pytest.mark.django_db
@settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    reset_day=st.integers(1, 31),
    at=st.datetimes(
        min_value=dt.datetime(2000, 2, 1),  # noqa: DTZ001  hypothesis adds the zone
        max_value=dt.datetime(2100, 12, 31),  # noqa: DTZ001
        timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=14)), dt.timezone(dt.timedelta(hours=-12))]),
    ),
)
def test_the_count_begins_when_a_calendar_says_so(reset_day, at):
    assert began(reset_day, at) == began_by_the_calendar(reset_day, at)


@pytest.fixture
def alice(transactional_db):
    price("search", 1)
    return customer_with(100)


def days_pass(days):
    """Move all charges and counts this many days into the past."""
    tamper("SELECT usage_ensure_partition(now() - interval '1 day' * %s)", days)
    for table, time in (
        ("ledger_entry", "created_at"),
        ("usage_requestlog", "occurred_at"),
        ("usage_refund", "occurred_at"),
    ):
        tamper(f"UPDATE {table} SET {time} = {time} - interval '1 day' * %s", days)
    tamper("UPDATE usage_keyspending SET (began_on, counted_on) = (began_on - %s, counted_on - %s)", days, days)


@pytest.mark.django_db(transaction=True)
class TestTheResetDay:
    def test_the_whole_limit_may_be_spent_again(self, alice):
        key = limited_key(alice, 10, reset_day=timezone.now().day)
        key.charge(10)
        with pytest.raises(InsufficientCredits):
            key.charge(1)

        days_pass(28)
        key.charge(10)

        assert key.spent == 10
        with pytest.raises(InsufficientCredits):
            key.charge(1)

    def test_the_count_of_the_last_period_is_forgotten(self, alice):
        key, other = limited_key(alice, 10), limited_key(alice, 10)
        key.charge(1)
        other.charge(1)

        days_pass(62)
        key.charge(2)

        assert list(KeySpending.objects.order_by("api_key").values_list("api_key_id", "credits")) == [
            (key.id, 2), (other.id, 1),
        ]  # fmt: skip

    def test_refund_of_an_earlier_periods_charge_makes_no_room(self, alice):
        key = limited_key(alice, 10, reset_day=timezone.now().day)
        old = key.charge(5)
        days_pass(28)
        key.charge(10)

        refund(old.id)

        assert (key.spent, key.left) == (10, 0)

    def test_holds_from_the_earlier_period_count(self, alice):
        key = limited_key(alice, 10, reset_day=timezone.now().day)
        key.hold(4)

        days_pass(28)

        assert key.left == 6

    @pytest.mark.parametrize(
        "spend", [lambda key: key.charge(4), lambda key: key.report(4), lambda key: captured(key.hold(4))]
    )
    def test_spending_before_the_first_read_counts(self, alice, spend):
        key = limited_key(alice, 10, reset_day=timezone.now().day)
        key.charge(7)
        days_pass(28)
        limit(key, None)
        spend(key)
        limit(key, 10, reset_day=timezone.now().day)

        key.charge(1)

        assert (key.spent, key.left) == (5, 5)

    def test_late_reports_count_where_they_happened(self, alice):
        now = timezone.now()
        key = limited_key(alice, 10, reset_day=now.day)
        key.report(3)
        days_pass(31)
        key.charge(1)

        key.report(8, at=now - DAY)

        assert (key.spent, key.left) == (1, 9)
        limit(key, 10, reset_day=(now + DAY).day)  # so that it has begun before yesterday
        assert key.left == 1
