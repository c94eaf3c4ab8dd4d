"""The burn rate, and how long credits last at it."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest
from django.utils import timezone

from accounts.models import User
from tests.factories import UserFactory, customer_with
from tests.ledger.granting import end, granted
from tests.ledger.posting import allow_overdraft, hold, post
from tests.usage.metering import charge, price, refund, report, request_at
from usage.services.forecasts.outlook import outlook_of
from usage.services.forecasts.selectors import burn_rate, forecast_of, forecasts_of

pytestmark = pytest.mark.django_db
DAY = dt.timedelta(days=1)
NOON = dt.datetime(2026, 3, 15, 12, tzinfo=dt.UTC)


@pytest.fixture
def now():
    return timezone.now()


def old(user: User, days: float = 400) -> User:
    """Create an account that is this many days old."""
    User.objects.filter(pk=user.pk).update(created_at=timezone.now() - days * DAY)
    return user


def used(user: User, credits: int, *, days_ago: int) -> None:
    """Record a customer's usage of credits at noon of another day, or now."""
    price("search", 1)
    now = timezone.now()
    at = now if days_ago == 0 else now.replace(hour=12, minute=0) - days_ago * DAY
    report(user, [request_at(at, units=Decimal(credits))], charged=True)


def test_the_rate_is_the_usage_of_seven_days_and_today_over_their_time():
    rate, since = burn_rate(Decimal(30), created_at=NOON - 400 * DAY, first_day=NOON.date(), now=NOON)

    assert since == dt.datetime(2026, 3, 8, tzinfo=dt.UTC)
    assert rate == Decimal("4.000000")


def test_a_young_account_is_measured_by_its_own_age_and_never_by_less_than_a_day():
    of_three_days = burn_rate(Decimal(30), created_at=NOON - 3 * DAY, first_day=NOON.date(), now=NOON)
    of_an_hour = burn_rate(Decimal(30), created_at=NOON - DAY / 24, first_day=NOON.date(), now=NOON)

    assert of_three_days == (Decimal("10.000000"), NOON - 3 * DAY)
    assert of_an_hour[1] == NOON.replace(hour=0) - DAY / 2 == NOON - DAY


def test_use_from_before_the_account_was_made_counts_its_days_too():
    rate, since = burn_rate(Decimal(25), created_at=NOON, first_day=NOON.date() - 2 * DAY, now=NOON)

    assert (rate, since) == (Decimal("10.000000"), NOON.replace(hour=0) - 2 * DAY)


def test_the_rate_is_rounded_half_up_to_six_places():
    rate, _ = burn_rate(Decimal("0.000001"), created_at=NOON - 2 * DAY, first_day=None, now=NOON)
    third, _ = burn_rate(Decimal(1), created_at=NOON - 3 * DAY, first_day=None, now=NOON)

    assert rate == Decimal("0.000001")
    assert third == Decimal("0.333333")


def test_only_days_within_the_window_count_and_refunds_lower_them(now):
    alice = old(customer_with(1000))
    used(alice, 500, days_ago=8)
    used(alice, 70, days_ago=7)
    paid = charge(alice, credits=Decimal(30))
    refund(paid.id, 20)

    forecast = forecast_of(user_id=alice.pk, now=now)

    elapsed = Fraction((now - forecast.burn_rate_since) // dt.timedelta(microseconds=1), 86_400_000_000)
    assert forecast.burn_rate_since == now.replace(hour=0, minute=0, second=0, microsecond=0) - 7 * DAY
    assert forecast.available == 420
    assert abs(forecast.burn_rate_per_day - Decimal(80) / (Decimal(elapsed.numerator) / elapsed.denominator)) < Decimal(
        "0.000001"
    )


def test_days_left_are_what_is_available_by_the_rate_rounded_down(now):
    alice = old(customer_with(100), 3)
    used(alice, 30, days_ago=0)
    hold(alice, "4.96")  # the account is not 3 days old to the microsecond, nor is the rate 10

    forecast = forecast_of(user_id=alice.pk, now=now)

    expected = forecast.available / forecast.burn_rate_per_day
    assert forecast.available == Decimal("65.04")
    assert forecast.days_left == Decimal("6.50") == expected.quantize(Decimal("0.01"))
    assert abs(forecast.depletes_at - (now + dt.timedelta(days=float(expected)))) < dt.timedelta(seconds=2)


def test_the_rate_is_zero_without_usage(now):
    forecast = forecast_of(user_id=customer_with(100).pk, now=now)

    assert (forecast.burn_rate_per_day, forecast.days_left, forecast.depletes_at) == (0, None, None)


def test_more_than_a_hundred_years_is_never(now):
    alice = old(customer_with(999_999_999), 3)
    used(alice, 1, days_ago=0)

    forecast = forecast_of(user_id=alice.pk, now=now)

    assert forecast.burn_rate_per_day > 0
    assert (forecast.days_left, forecast.depletes_at) == (None, None)


def test_a_customer_without_available_credits_has_no_days_left(now):
    alice = old(customer_with(10))
    allow_overdraft(alice, 10)
    used(alice, 15, days_ago=0)

    overdrawn, new = forecast_of(user_id=alice.pk, now=now), forecast_of(user_id=UserFactory().pk, now=now)

    assert (overdrawn.available, overdrawn.days_left) == (-5, 0)
    assert (new.available, new.days_left, new.depletes_at) == (0, 0, now.replace(microsecond=0))


def test_credits_that_expire_before_they_are_burnt_do_not_count(now):
    alice = old(UserFactory(), 3)
    post(alice, 90)
    used(alice, 30, days_ago=0)
    granted(alice, 100, days=2)

    forecast = outlook_of(user_id=alice.pk, now=now).forecast

    assert forecast.available == 160
    assert forecast.days_left == Decimal("8.00")  # two of the grant that is lost then, six of what stays
    assert forecast.expiring_soon == 100
    assert abs(forecast.expiring_unspent - 80) < Decimal("0.01")
    assert abs(forecast.next_expiry_at - (now + 2 * DAY)) < dt.timedelta(seconds=10)


def test_credits_that_expire_far_ahead_are_not_soon_but_next(now):
    alice = UserFactory()
    granted(alice, 100, days=31)

    forecast = outlook_of(user_id=alice.pk, now=now).forecast

    assert (forecast.expiring_soon, forecast.expiring_unspent) == (0, 0)
    assert forecast.next_expiry_at is not None


def test_credits_spent_from_a_grant_since_its_settlement_do_not_expire(now):
    alice = UserFactory()
    granted(alice, 100, days=5)
    post(alice, -60)

    forecast = outlook_of(user_id=alice.pk, now=now).forecast

    assert forecast.expiring_soon == 40


def test_reserved_credits_are_taken_from_the_first_grants(now):
    alice = UserFactory()
    granted(alice, 100, days=5)
    post(alice, 50)
    hold(alice, 30)

    assert outlook_of(user_id=alice.pk, now=now).forecast.expiring_soon == 70


@pytest.mark.django_db(transaction=True)
def test_an_expired_grant_no_longer_counts(now):
    alice = old(UserFactory(), 3)
    gone = granted(alice, 100, days=5)
    granted(alice, 40, days=6)
    end(gone)

    forecast = outlook_of(user_id=alice.pk, now=timezone.now()).forecast

    assert (forecast.available, forecast.expiring_soon) == (40, 40)


def test_many_customers_are_forecast_as_each_alone_in_one_statement(now, django_assert_num_queries):
    alice, bob, carol = old(customer_with(100), 3), old(customer_with(7)), UserFactory()
    for each in (alice, bob):
        used(each, 3, days_ago=0)
    granted(bob, 5, days=3)
    everybody = [each.pk for each in (alice, bob, carol)]

    with django_assert_num_queries(1):
        together = forecasts_of(everybody, now=now)

    assert together == {user_id: forecast_of(user_id=user_id, now=now) for user_id in everybody}
    assert forecasts_of([], now=now) == {}
