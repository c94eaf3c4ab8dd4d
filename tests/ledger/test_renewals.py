"""Renewals without a job: the first read or charge after the end of a period finds the next one begun."""

import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import User
from ledger.admin.credits.available import available_credits
from ledger.models import Entry, SubscriptionPeriod
from ledger.selectors import balance_of
from ledger.services.controls import set_overdraft_limit
from ledger.services.subscriptions.actions import cancel_subscription
from tests.account import client_of
from tests.factories import ApiKeyFactory, UserFactory, customer_with
from tests.ledger.granting import granted, left
from tests.ledger.subscribing import let_time_pass, plan, spans, subscribe, subscription_of
from tests.usage.gateway import Gateway
from tests.usage.metering import charge, held, price
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    """Create a customer on a plan of 100 credits a month whose period has just ended with 30 of them left."""
    alice = UserFactory(email="alice@example.com")
    subscribe(alice, plan(100, code="starter"))
    charge(alice, credits=70)
    let_time_pass(alice, months=1)
    return alice


def test_a_charge_that_the_new_period_covers_is_not_refused(alice):
    charge(alice, credits=100)

    assert balance_of(user_id=alice.pk).available == 0
    assert list(Entry.objects.order_by("seq").values_list("reason", "amount")) == [
        ("grant", 100), ("usage", -70), ("expiry", -30), ("grant", 100), ("usage", -100),
    ]  # fmt: skip
    assert reconcile(Scope())[1] == []


def test_a_hold_that_the_new_period_covers_is_not_refused(alice):
    held(alice, credits=100)

    assert balance_of(user_id=alice.pk).available == 0


def test_the_balance_is_exact_before_anything_is_written(alice):
    credits = balance_of(user_id=alice.pk)

    assert (credits.balance, credits.available, credits.granted_total) == (100, 100, 170)
    assert SubscriptionPeriod.objects.count() == 1


def test_every_reader_sees_the_new_period(alice):
    price("free", 0)
    gateway = Gateway()

    verdict = gateway.post("/v2/keys/verify", {"api_key": ApiKeyFactory(user=alice).raw}).json()

    assert verdict["available"] == 100
    assert User.objects.annotate(now=available_credits("balance__")).get(pk=alice.pk).now == 100
    assert charge(alice, "free").available == 100
    assert SubscriptionPeriod.objects.count() == 1


def test_readers_see_what_is_later_written(alice):
    granted(alice, 7, days=400)
    let_time_pass(alice, months=2)
    held(alice, credits=5)
    let_time_pass(alice, months=3)
    seen = balance_of(user_id=alice.pk)

    left(alice)

    assert balance_of(user_id=alice.pk) == seen
    assert seen.balance == 112  # five of an ended period stay for the hold
    assert len(spans(alice)) == 7
    assert reconcile(Scope())[1] == []


def test_the_summary_shows_the_current_period(alice):
    answer = client_of(alice).get("/auth/account/summary").json()

    subscription = answer["subscription"]
    assert answer["credit_balance"]["available"] == 100
    assert subscription["current_period_end"] == subscription["next_grant_at"]
    assert dt.datetime.fromisoformat(subscription["current_period_end"]) > timezone.now()
    assert subscription["status"] == "active"


def test_the_summary_omits_an_ended_subscription(alice):
    cancel_subscription(user_id=alice.pk, note="n", actor_id=None, idempotency_key="k")
    let_time_pass(alice, months=1)

    assert client_of(alice).get("/auth/account/summary").json()["subscription"] is None
    assert subscription_of(alice).status == "canceled"


def test_the_ledger_lists_the_entries_of_a_due_period(alice):
    entries = client_of(alice).get("/auth/account/ledger").json()["results"]

    assert [entry["amount"] for entry in entries] == [100, -30, -70, 100]
    assert entries[0]["description"].startswith("Plan ")


def test_the_grants_list_shows_the_grant_of_a_due_period(alice):
    grants = client_of(alice).get("/auth/account/grants").json()["results"]

    assert [(grant["remaining"], grant["status"]) for grant in grants] == [(100, "active"), (0, "expired")]


def test_an_entry_is_dated_at_the_start_of_its_period(alice):
    let_time_pass(alice, days=2)

    left(alice)

    granted = Entry.objects.filter(reason="grant").latest("seq")
    # Never before the previous entry, which was made just now.
    assert granted.created_at == max(Entry.objects.filter(reason="usage").get().created_at, spans(alice)[-1][0])


def test_the_next_period_pays_what_is_overdrawn(alice):
    set_overdraft_limit(user_id=alice.pk, limit=Decimal(50), note="n", actor_id=alice.pk, idempotency_key="o")
    charge(alice, credits=140)
    let_time_pass(alice, months=1)

    assert balance_of(user_id=alice.pk).available == 60
    assert sum(left(alice).values()) == 60
    assert reconcile(Scope())[1] == []


def test_credits_that_a_hold_reserves_outlive_the_period(alice):
    charge(alice, credits=90)  # of the second period
    hold = held(alice, credits=10, expires_in_seconds=86_400).hold
    let_time_pass(alice, months=1)

    assert balance_of(user_id=alice.pk).balance == 110
    left(alice)
    hold.refresh_from_db()
    assert hold.status == "open"
    assert reconcile(Scope())[1] == []


def test_a_plan_without_credits_has_periods_and_no_entries():
    bob = customer_with(5)
    subscribe(bob, plan(0))
    let_time_pass(bob, months=1)

    left(bob)

    assert [credits for *_, credits in spans(bob)] == [0, 0]
    assert Entry.objects.count() == 1
    assert reconcile(Scope())[1] == []


def test_a_period_grants_no_more_than_the_balance_limit_allows():
    bob = customer_with("999999990")
    subscribe(bob, plan(100, cap=None))
    let_time_pass(bob, months=1)

    charge(bob, credits=1)

    assert balance_of(user_id=bob.pk).balance == Decimal("999999998.999999")
    assert reconcile(Scope())[1] == []
