import datetime as dt

import pytest
from django.db import DataError, connection, transaction
from django.utils import timezone

from tests.accounts.races import at_once
from tests.conftest import owner_connection
from tests.factories import customer_with
from tests.usage.metering import charge, price, report, request_at
from usage.models import RequestLog
from usage.services.partitions import ensure_partition

MARCH = dt.datetime(2026, 3, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)


def partitions():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'usage_requestlog'::regclass ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture
def no_partitions(transactional_db):
    """Drop all partitions, as on the first request of a month."""
    with owner_connection(autocommit=True) as owner:
        for name in partitions():
            owner.execute(f"DROP TABLE {name}")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("at", "name"),
    [
        (MARCH, "usage_requestlog_2026_03"),
        (MARCH + dt.timedelta(microseconds=1), "usage_requestlog_2026_04"),
        (MARCH.replace(month=1).astimezone(dt.timezone(dt.timedelta(hours=14))), "usage_requestlog_2026_01"),
        (dt.datetime(2000, 1, 1, tzinfo=dt.UTC), "usage_requestlog_2000_01"),
        (dt.datetime(2100, 12, 31, tzinfo=dt.UTC), "usage_requestlog_2100_12"),
    ],
)
def test_a_partition_is_a_month_of_utc(at, name):
    ensure_partition(at)

    assert name in partitions()


@pytest.mark.django_db
def test_a_sessions_time_zone_does_not_move_the_month():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Pacific/Auckland'")

    ensure_partition(MARCH)

    assert "usage_requestlog_2026_03" in partitions()
    assert "usage_requestlog_2026_04" not in partitions()


@pytest.mark.django_db
def test_making_a_partition_again_changes_nothing():
    ensure_partition(MARCH)
    before = partitions()

    ensure_partition(MARCH)

    assert partitions() == before


@pytest.mark.django_db
@pytest.mark.parametrize("year", [1999, 2101])
def test_other_centuries_have_no_partitions(year):
    with pytest.raises(DataError), transaction.atomic():
        ensure_partition(MARCH.replace(year=year, month=1))


def test_the_first_charge_of_a_month_makes_its_partition(no_partitions):
    alice = customer_with(10)
    price("search", 1)

    charge(alice)

    assert partitions() == [f"usage_requestlog_{timezone.now():%Y_%m}"]
    assert RequestLog.objects.count() == 1


def test_the_first_charges_of_a_month_may_come_all_at_once(no_partitions):
    alice = customer_with(10)
    price("search", 1)

    outcomes = at_once(8, lambda: charge(alice))

    assert len({outcome.entry_id for outcome in outcomes}) == 8
    assert len(partitions()) == 1
    assert RequestLog.objects.count() == 8


def test_reported_requests_make_the_partitions_of_all_their_months(no_partitions, django_assert_max_num_queries):
    alice = customer_with(10)
    moments = [MARCH.replace(month=month, day=1) + dt.timedelta(minutes=n) for month in (1, 5, 12) for n in range(50)]

    with django_assert_max_num_queries(5):  # the first try, a call for each month, the second try
        report(alice, [request_at(at) for at in moments])

    assert partitions() == [f"usage_requestlog_2026_{month}" for month in ("01", "05", "12")]
    assert RequestLog.objects.count() == 150
