"""Plans and subscriptions in the back office: edited, with the database's rules in sentences."""

from decimal import Decimal

import pytest
from django.urls import reverse

from accounts.models import Plan, Subscription
from tests.backoffice import page_of, signed_in, staff_with
from tests.factories import PlanFactory, SubscriptionFactory, UserFactory

pytestmark = pytest.mark.django_db
ADD_PLAN = "/admin/accounts/plan/add/"
ADD_SUBSCRIPTION = "/admin/accounts/subscription/add/"


@pytest.fixture
def client():
    rights = [
        f"accounts.{verb}_{what}" for verb in ("view", "add", "change", "delete") for what in ("plan", "subscription")
    ]
    return signed_in(staff_with("accounts.view_user", *rights))


def subscription_form(**changed):
    fields = {
        "status": "active", "billing_interval": "monthly", "credits_per_period": "100.5",
        "current_period_start_0": "2026-11-01", "current_period_start_1": "00:00:00",
        "current_period_end_0": "2026-12-01", "current_period_end_1": "00:00:00",
        "started_at_0": "2026-11-01", "started_at_1": "00:00:00",
    }  # fmt: skip
    return {**fields, **changed}


def errors_of(answer):
    assert answer.status_code == 200
    return answer.context["adminform"].form.errors


def test_a_plan_is_added_and_changed(client):
    client.post(ADD_PLAN, {"code": "starter", "name": "Starter", "credits_per_period": "0", "is_active": "on"})
    plan = Plan.objects.get()

    shown = client.get(page_of("accounts_plan", plan.pk)).content.decode()
    client.post(
        page_of("accounts_plan", plan.pk), {"code": "starter", "name": "Starter", "credits_per_period": "12.500000"}
    )

    plan.refresh_from_db()
    assert 'name="credits_per_period" value="0"' in shown
    assert (plan.credits_per_period, plan.is_active) == (Decimal("12.5"), False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", ""), ("code", "not a slug"), ("code", "taken"), ("name", "a\0"), ("credits_per_period", "-1"),
        ("credits_per_period", "1e3"), ("credits_per_period", "0.0000001"), ("credits_per_period", "1000000000"),
        ("credits_per_period", "NaN"), ("credits_per_period", "１"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plan_is_said_at_its_field(client, field, value):
    PlanFactory(code="taken")
    given = {"code": "starter", "name": "Starter", "credits_per_period": "1", field: value}

    assert list(errors_of(client.post(ADD_PLAN, given))) == [field]


def test_a_plan_in_use_is_not_deleted_and_the_page_says_why(client):
    plan = SubscriptionFactory().plan

    answer = client.post(reverse("admin:accounts_plan_delete", args=[plan.pk]), {"post": "yes"})

    assert answer.status_code == 200
    assert "protected" in answer.content.decode()
    assert Plan.objects.exists()


def test_a_subscription_is_added_to_a_customer(client):
    user, plan = UserFactory(), PlanFactory()

    answer = client.post(ADD_SUBSCRIPTION, subscription_form(user=user.pk, plan=plan.pk))

    made = Subscription.objects.get()
    assert answer.status_code == 302
    assert (made.user, made.plan, made.credits_per_period) == (user, plan, Decimal("100.5"))


def test_a_second_running_subscription_is_refused_at_the_customer(client):
    first = SubscriptionFactory()

    answer = client.post(ADD_SUBSCRIPTION, subscription_form(user=first.user.pk, plan=first.plan.pk))

    assert errors_of(answer) == {"user": ["This customer has a running subscription already; end that one first."]}
    assert Subscription.objects.count() == 1


def test_a_second_subscription_that_has_ended_is_fine(client):
    first = SubscriptionFactory()

    client.post(ADD_SUBSCRIPTION, subscription_form(user=first.user.pk, plan=first.plan.pk, status="canceled"))

    assert Subscription.objects.count() == 2


def test_a_running_subscription_is_changed_without_standing_in_its_own_way(client):
    first = SubscriptionFactory()

    answer = client.post(
        page_of("accounts_subscription", first.pk),
        subscription_form(user=first.user.pk, plan=first.plan.pk, status="past_due"),
    )

    first.refresh_from_db()
    assert answer.status_code == 302
    assert first.status == "past_due"


def test_a_period_that_ends_before_it_starts_is_refused_once_and_at_its_field(client):
    given = subscription_form(user=UserFactory().pk, plan=PlanFactory().pk, current_period_end_0="2026-10-01")

    answer = client.post(ADD_SUBSCRIPTION, given)

    assert errors_of(answer) == {"current_period_end": ["The period must end after it starts."]}


def test_the_customer_is_looked_up_by_typing(client):
    UserFactory(email="bob@example.com")
    alice = UserFactory(email="alice@example.com")

    answer = client.get(
        "/admin/autocomplete/",
        {"term": "alice", "app_label": "accounts", "model_name": "subscription", "field_name": "user"},
    )

    assert [found["id"] for found in answer.json()["results"]] == [str(alice.pk)]
