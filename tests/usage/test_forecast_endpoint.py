import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Subscription, SubscriptionStatus, User
from ledger.models import GrantDraw
from tests.account import client_of
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.ledger.granting import granted
from tests.ledger.subscribing import let_time_pass, move, plan, subscribe
from tests.usage.metering import charge, price

pytestmark = pytest.mark.django_db
PATH = "/auth/account/credits/forecast"


def shown(user: User) -> dict:
    answer = client_of(user).get(PATH)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_forecast_has_these_fields_and_no_others():
    alice = customer_with("750.5")
    User.objects.filter(pk=alice.pk).update(created_at=timezone.now() - dt.timedelta(hours=2))
    price("search", "12.5")
    charge(alice)

    answer = shown(alice)

    assert list(answer) == [
        "user_id",
        "available",
        "burn_rate_per_day",
        "burn_rate_since",
        "days_left",
        "depletes_at",
        "expiring_soon",
        "coming",
    ]
    assert (answer["user_id"], answer["available"], answer["burn_rate_per_day"]) == (alice.pk, 738, 12.5)
    assert answer["days_left"] == 59.04
    assert dt.datetime.fromisoformat(answer["depletes_at"]) > timezone.now() + dt.timedelta(days=59)
    assert answer["expiring_soon"] == {"within_days": 30, "credits": 0, "unspent": 0, "next_expiry_at": None}
    assert answer["coming"] is None


def test_a_new_customers_forecast_is_unknown():
    answer = shown(UserFactory())

    assert (answer["available"], answer["burn_rate_per_day"], answer["days_left"]) == (0, 0, 0)


def test_the_next_grant_of_a_running_subscription_is_shown_and_not_counted():
    alice = UserFactory()
    subscription = subscribe(alice, plan("2500.5", cap=None))

    answer = shown(alice)

    assert answer["available"] == 2500.5
    assert answer["coming"]["credits"] == 2500.5
    assert dt.datetime.fromisoformat(answer["coming"]["at"]) == subscription.next_grant_at


def test_the_next_grant_is_that_of_the_plan_that_waits():
    alice = UserFactory()
    subscribe(alice, plan(2000))
    move(alice, plan(500))

    assert shown(alice)["coming"]["credits"] == 500


@pytest.mark.parametrize(
    "changed",
    [
        {"status": SubscriptionStatus.PAUSED},
        {"status": SubscriptionStatus.PAST_DUE},
        {"status": SubscriptionStatus.CANCELED},
        {"cancel_at_period_end": True},
        {"ends_at": timezone.now() + dt.timedelta(days=1)},
        {"anchor_at": None},
        {"next_grant_at": None},
        {"next_grant_at": timezone.now() - dt.timedelta(days=1)},
        {"credits_per_period": Decimal(0)},
    ],
    ids=lambda changed: " ".join(changed),
)
def test_nothing_is_guessed_about_a_subscription_without_credits(changed):
    alice = UserFactory()
    subscribe(alice, plan(2000))
    Subscription.objects.filter(user=alice).update(**changed)

    assert shown(alice)["coming"] is None


@pytest.mark.django_db(transaction=True)
def test_an_unsettled_period_brings_credits_that_expire():
    alice = UserFactory()
    subscribe(alice, plan(2000))
    let_time_pass(alice, months=1)

    answer = shown(alice)

    assert answer["available"] == 2000
    assert dt.datetime.fromisoformat(answer["coming"]["at"]) > timezone.now() + dt.timedelta(days=27)
    assert answer["expiring_soon"]["next_expiry_at"] == answer["coming"]["at"]


def test_a_customer_without_expiring_credits_is_not_settled():
    alice = customer_with(10)
    price("search", 1)
    charge(alice)

    shown(alice)

    assert not GrantDraw.objects.exists()


def test_strangers_and_staff_see_their_own_forecast_and_a_token_is_required():
    granted(UserFactory(), 10, days=3)

    assert shown(UserFactory())["available"] == 0
    assert shown(StaffFactory(is_superuser=True))["expiring_soon"]["credits"] == 0
    assert APIClient().get(PATH).status_code == 401


def test_a_forecast_takes_three_statements_besides_authentication(django_assert_num_queries):
    client = client_of(customer_with(10))
    client.get(PATH)

    with django_assert_num_queries(4):
        client.get(PATH)
