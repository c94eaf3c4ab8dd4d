"""The demo company, as a visitor finds it."""

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, Subscription
from accounts.services.roles.table import Role, permissions_of
from config.models import StaffRecord
from ledger.models import (
    AdjustmentRequest,
    AutoReload,
    AutoReloadEvent,
    Entry,
    EntryDispute,
    Grant,
    Payment,
    SubscriptionPeriod,
)
from tests.backoffice import EXPORTED, export_of, list_of, page_of, signed_in
from usage.demo import company as demo
from usage.models import ReconciliationFinding, ReconciliationRun
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


@pytest.fixture
def company(monkeypatch):
    """The company with fewer requests than usual."""
    small = [
        demo.DemoCustomer(each.email, each.full_name, min(each.requests, 20), each.credits) for each in demo.CUSTOMERS
    ]
    monkeypatch.setattr(demo, "CUSTOMERS", tuple(small))
    return demo.seed(now=timezone.now())


def test_there_is_one_of_each_role_and_each_may_do_what_the_role_may(company):
    of_roles = {person.email.partition("@")[0]: person.get_all_permissions() for person in company.staff[1:]}

    assert of_roles == {role.value: permissions_of(role) for role in Role}


def test_finance_takes_the_lists_out_and_the_auditor_the_staff_log_too(company):
    finance, auditor = signed_in(company.staff[2]), signed_in(company.staff[4])
    ways = [export_of(model) for model in EXPORTED]
    log = export_of("config_staffrecord")

    assert {way: finance.get(way).status_code for way in ways} == {**dict.fromkeys(ways, 200), log: 403}
    assert {way: auditor.get(way).status_code for way in ways} == dict.fromkeys(ways, 200)


def test_the_staff_log_tells_what_each_role_did_once(company):
    demo.seed(now=timezone.now())

    told = StaffRecord.objects.filter(request_id__startswith="demo-").values_list("roles", flat=True)
    assert len(told) == 7
    assert set(told) == {role.value for role in Role}


def test_support_sees_customers_and_all_of_theirs_and_helps(company):
    client, (alice, *_) = signed_in(company.staff[1]), company.customers.values()
    key = ApiKey.objects.filter(user=alice).first()
    ways = [
        *(list_of(f"{app}_{model}") for app, model in (("accounts", "user"), ("ledger", "termschange"))),
        page_of("accounts_user", alice.pk),
        *(reverse(f"admin:accounts_user_{way}", args=[alice.pk]) for way in ("adjust_credits", "freeze", "issue_key")),
        *(
            reverse("admin:accounts_user_subscription", args=[alice.pk, way])
            for way in ("start", "plan", "pause", "resume", "cancel")
        ),
        reverse("admin:accounts_apikey_limits", args=[key.pk]),
    ]

    assert {way: client.get(way).status_code for way in ways} == dict.fromkeys(ways, 200)


def test_adjustments_wait_were_decided_and_came_by_a_file(company):
    requests = AdjustmentRequest.objects.order_by("pk")
    by_support = requests.filter(author=company.staff[1], reverses=None)
    of_a_file = requests.get(user=None)

    assert list(by_support.values_list("state", flat=True)) == ["approved", "rejected", "pending"]
    assert set(of_a_file.lines.values_list("outcome", flat=True)) == {"posted"}
    assert requests.get(reference="T-1060").reason == "reversal"


def test_one_dispute_waits_for_staff_one_was_resolved_and_one_rejected(company):
    disputes = EntryDispute.objects.order_by("pk")

    assert list(disputes.values_list("state", flat=True)) == ["open", "resolved", "rejected"]
    assert [message.by for message in disputes[0].messages.order_by("pk")] == ["customer", "staff", "customer"]
    assert disputes[1].credits_returned == 3


def test_a_finding_was_closed_with_a_note_and_the_books_are_in_order(company):
    demo.seed(now=timezone.now())

    finding = ReconciliationFinding.objects.get()
    run = ReconciliationRun.objects.get(is_full=True)
    assert finding.closed_at is not None
    assert list(finding.events.order_by("id").values_list("kind", "actor__full_name")) == [
        ("found", None),
        ("closed", "Omar Operations"),
    ]
    assert run.findings == 0
    assert reconcile(Scope())[1] == []


def test_the_front_page_has_a_month_of_charts(company):
    page = signed_in(company.staff[2]).get("/admin/").context

    assert [chart.is_empty for chart in page["charts"]] == [False, False]
    assert {"failed_payments", "payment_disputes", "approvals"} <= {line.to_do.name for line in page["to_do"]}
    assert not page["freshness"].is_old


def test_support_makes_neither_prices_nor_service_keys(company):
    client = signed_in(company.staff[1])

    for way in (reverse("admin:usage_price_add"), reverse("admin:accounts_apikey_issue")):
        assert client.get(way).status_code == 403


def test_there_are_payments_in_each_state_that_staff_have_to_tell_apart_and_a_grant_that_expires(company):
    states = dict(Payment.objects.values_list("user__email", "state"))

    assert states == {
        "alice@demo.example": "succeeded",
        "bob@demo.example": "failed",
        "charlie@demo.example": "succeeded",
        "dora@demo.example": "requires_action",
    }
    assert Grant.objects.get(user=company.customers["emil@demo.example"]).expires_at > timezone.now()


def test_customers_are_on_plans_that_bring_credits(company):
    live = Subscription.objects.select_related("plan", "user").order_by("user__email")

    assert [(each.user.email, each.plan.code, each.cancel_at_period_end) for each in live] == [
        ("alice@demo.example", "growth", False),
        ("bob@demo.example", "starter", False),
        ("dora@demo.example", "starter", True),
    ]
    assert list(SubscriptionPeriod.objects.values_list("credits", flat=True)) == [1000] * 3
    assert reconcile(Scope())[1] == []


def test_loading_it_again_on_another_day_buys_and_grants_nothing_more(company):
    bought_and_given = Entry.objects.filter(reason__in=("purchase", "grant"))
    payments, entries = Payment.objects.count(), bought_and_given.count()

    demo.seed(now=timezone.now() + dt.timedelta(days=1))

    assert (Payment.objects.count(), bought_and_given.count()) == (payments, entries)


def test_one_customer_has_agreed_to_auto_reload_and_it_has_bought(company):
    charlie = company.customers["charlie@demo.example"]
    client = signed_in(company.staff[1])

    demo.seed(now=timezone.now() + dt.timedelta(days=1))

    kinds = AutoReloadEvent.objects.of(charlie.pk).order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["enabled", "attempt"]
    assert AutoReload.objects.get(pk=charlie.pk).enabled
    page = client.get(page_of("ledger_autoreload", charlie.pk)).content.decode()
    assert "5.00 USD for 500" in page
    assert client.get(reverse("admin:ledger_autoreload_switch_off", args=[charlie.pk])).status_code == 200
