"""Plans in the back office: edited, with the database's rules in sentences."""

from decimal import Decimal

import pytest
from django.urls import reverse

from accounts.models import Plan
from tests.backoffice import page_of, signed_in, staff_with
from tests.factories import PlanFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
ADD_PLAN = "/admin/accounts/plan/add/"


@pytest.fixture
def client():
    rights = [
        f"accounts.{verb}_{what}" for verb in ("view", "add", "change", "delete") for what in ("plan", "subscription")
    ]
    return signed_in(staff_with("accounts.view_user", *rights))


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
def test_an_invalid_value_of_a_plan_is_an_error_of_its_field(client, field, value):
    PlanFactory(code="taken")
    given = {"code": "starter", "name": "Starter", "credits_per_period": "1", field: value}

    assert list(errors_of(client.post(ADD_PLAN, given))) == [field]


def test_a_plan_in_use_is_not_deleted_and_the_page_says_why(client):
    plan = SubscriptionFactory().plan

    answer = client.post(reverse("admin:accounts_plan_delete", args=[plan.pk]), {"post": "yes"})

    assert answer.status_code == 200
    assert "Cannot delete plan" in answer.content.decode()
    assert "subscription" in answer.content.decode()
    assert Plan.objects.exists()


def test_a_plan_without_yearly_credits_is_not_sold_by_the_year_and_rolls_over_all(client):
    given = {"code": "a", "name": "A", "credits_per_period": "1", "credits_per_year": "", "rollover_cap": ""}

    client.post(ADD_PLAN, given)
    client.post(ADD_PLAN, {**given, "code": "b", "credits_per_year": "15.5", "rollover_cap": "0"})

    plans = list(Plan.objects.order_by("code").values_list("credits_per_year", "rollover_cap"))
    assert plans == [(None, None), (Decimal("15.5"), 0)]


def test_subscriptions_are_never_edited(client):
    subscription = SubscriptionFactory()

    assert client.get("/admin/accounts/subscription/add/").status_code == 403
    assert client.post(page_of("accounts_subscription", subscription.pk), {"status": "expired"}).status_code == 403
    assert client.post(f"/admin/accounts/subscription/{subscription.pk}/delete/", {"post": "yes"}).status_code == 403
