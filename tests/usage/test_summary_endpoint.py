import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import SubscriptionStatus
from tests.account import client_of, give, requested
from tests.factories import SubscriptionFactory, UserFactory

pytestmark = pytest.mark.django_db
PATH = "/auth/account/summary"


def test_a_new_account_on_one_page():
    alice = UserFactory()

    answer = client_of(alice).get(PATH).json()

    alice.refresh_from_db()
    assert list(answer) == [
        "user_id",
        "email",
        "credit_balance",
        "subscription",
        "usage_this_month",
        "total_requests_all_time",
        "account_created_at",
        "last_login_at",
    ]
    assert (answer["user_id"], answer["email"]) == (alice.pk, alice.email)
    assert answer["subscription"] is None
    assert answer["total_requests_all_time"] == 0
    assert dt.datetime.fromisoformat(answer["account_created_at"]) == alice.created_at
    assert dt.datetime.fromisoformat(answer["last_login_at"]) == alice.last_login


def test_the_parts_are_those_of_the_other_endpoints():
    alice = UserFactory()
    give(alice, 100)
    now = timezone.now()
    requested(alice, [(now, "x", 200), (now - dt.timedelta(days=400), "x", 500), (now, "x", 401)], charge=False)
    client = client_of(alice)

    answer = client.get(PATH).json()

    usage = client.get("/auth/account/usage").json()
    assert answer["credit_balance"] == client.get("/auth/account/credits").json()
    assert {**answer["usage_this_month"], "period_end": None} == {**usage, "period_end": None}
    assert answer["usage_this_month"]["total_requests"] == 1
    assert answer["total_requests_all_time"] == 2


def test_the_running_subscription_is_shown():
    subscription = SubscriptionFactory(status=SubscriptionStatus.PAST_DUE, credits_per_period=Decimal("2500.5"))

    shown = client_of(subscription.user).get(PATH).json()["subscription"]

    assert shown["id"] == subscription.pk
    assert shown["plan"] == {"code": subscription.plan.code, "name": subscription.plan.name}
    assert (shown["status"], shown["billing_interval"]) == ("past_due", "monthly")
    assert shown["credits_per_period"] == 2500.5
    assert shown["canceled_at"] is None
    assert list(shown) == [
        "id",
        "plan",
        "status",
        "billing_interval",
        "credits_per_period",
        "current_period_start",
        "current_period_end",
        "next_grant_at",
        "cancel_at_period_end",
        "started_at",
        "canceled_at",
    ]


@pytest.mark.parametrize("status", [SubscriptionStatus.CANCELED, SubscriptionStatus.EXPIRED])
def test_an_ended_subscription_is_shown_as_null(status):
    subscription = SubscriptionFactory(status=status)

    assert client_of(subscription.user).get(PATH).json()["subscription"] is None


def test_strangers_and_anonymous_callers_see_no_other_summary():
    subscription = SubscriptionFactory()
    give(subscription.user, 100)
    stranger = UserFactory()

    answer = client_of(stranger).get(PATH).json()

    assert (answer["user_id"], answer["credit_balance"]["balance"], answer["subscription"]) == (stranger.pk, 0, None)
    assert APIClient().get(PATH).status_code == 401


def test_the_summary_takes_three_statements_besides_authentication(django_assert_max_num_queries):
    client = client_of(UserFactory())
    client.get(PATH)

    with django_assert_max_num_queries(4):
        client.get(PATH)
