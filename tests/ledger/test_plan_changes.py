"""Changing plans: an upgrade grants more at once, for the rest of the period; a downgrade waits for the next one."""

import datetime as dt
from decimal import Decimal

import pytest

from accounts.models import SubscriptionStatus
from ledger.errors import IdempotencyKeyReused, PlanNotOffered, SubscriptionNotFound, SubscriptionUnchanged
from ledger.models import Entry, Grant, SubscriptionChange
from ledger.selectors import balance_of
from ledger.services.subscriptions.periods import prorated
from tests.factories import SubscriptionFactory, UserFactory
from tests.ledger.granting import left
from tests.ledger.subscribing import (
    YEARLY,
    cancel,
    let_time_pass,
    move,
    pause,
    plan,
    spans,
    subscribe,
    subscription_of,
)
from tests.usage.metering import charge
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


@pytest.fixture
def small():
    return plan(100, code="small", name="Small")


@pytest.fixture
def big():
    return plan(1000, code="big", name="Big")


def available(user):
    return balance_of(user_id=user.pk).available


def test_an_upgrade_brings_the_difference_for_the_rest_of_the_period(alice, small, big):
    subscription = subscribe(alice, small)
    let_time_pass(alice, days=10)

    change = move(alice, big).change

    subscription.refresh_from_db()
    rest = subscription.current_period_end - change.effective_at
    whole = subscription.current_period_end - subscription.current_period_start
    assert change.credits == prorated(Decimal(900), part=rest, whole=whole)
    assert available(alice) == 100 + change.credits
    assert (change.kind, change.entry.amount, change.kept_entry) == ("upgrade", change.credits, None)
    assert Grant.objects.get(entry=change.entry).expires_at == subscription.current_period_end
    assert (subscription.plan, subscription.credits_per_period) == (big, 1000)
    assert reconcile(Scope())[1] == []


def test_the_period_after_an_upgrade_brings_all_of_the_new_plan(alice, small, big):
    subscribe(alice, small)
    move(alice, big)

    let_time_pass(alice, months=1)

    assert available(alice) == 1000
    left(alice)
    assert [credits for *_, credits in spans(alice)] == [100, 1000]
    assert reconcile(Scope())[1] == []


def test_an_upgrade_lets_as_much_stay_as_its_cap_exceeds_the_old_one(alice):
    subscribe(alice, plan(100, cap=20))
    change = move(alice, plan(1000, cap=300)).change

    let_time_pass(alice, months=1)

    assert change.kept_entry.amount == 280
    assert available(alice) == 1300
    assert reconcile(Scope())[1] == []


def test_an_upgrade_to_a_plan_without_a_cap_brings_credits_that_stay(alice, small):
    subscribe(alice, small)
    change = move(alice, plan(1000, cap=None)).change

    let_time_pass(alice, months=1)

    assert available(alice) == 1000 + change.credits


def test_a_downgrade_waits_for_the_next_period(alice, small, big):
    subscription = subscribe(alice, big)

    change = move(alice, small).change

    subscription.refresh_from_db()
    assert (change.kind, change.credits, change.effective_at) == ("plan_later", 0, subscription.current_period_end)
    assert (subscription.plan, subscription.pending_plan) == (big, small)
    assert available(alice) == 1000
    let_time_pass(alice, months=1)
    assert available(alice) == 100
    left(alice)
    subscription.refresh_from_db()
    assert (subscription.plan, subscription.pending_plan, subscription.credits_per_period) == (small, None, 100)


def test_an_upgrade_may_wait_as_well(alice, small, big):
    subscribe(alice, small)

    move(alice, big, at_period_end=True)

    assert available(alice) == 100
    let_time_pass(alice, months=1)
    assert available(alice) == 1000


def test_another_interval_waits_and_keeps_the_day_of_the_anchor(alice, small):
    yearly = plan(100, credits_per_year=Decimal(5000))
    subscribe(alice, small, starts_at=dt.datetime(2026, 10, 31, tzinfo=dt.UTC))
    before = subscription_of(alice).current_period_end

    move(alice, yearly, YEARLY)
    let_time_pass(alice, months=1)
    left(alice)

    subscription = subscription_of(alice)
    assert (before.month, before.day) == (11, 30)
    assert subscription.billing_interval == "yearly"
    assert spans(alice)[-1][2] == 5000
    assert subscription.current_period_end - subscription.current_period_start >= dt.timedelta(days=365)
    assert reconcile(Scope())[1] == []


def test_a_pending_change_is_taken_back_by_asking_for_the_current_plan(alice, small, big):
    subscribe(alice, big)
    move(alice, small)

    change = move(alice, big).change

    assert change.kind == "plan_kept"
    assert subscription_of(alice).pending_plan is None
    let_time_pass(alice, months=1)
    assert available(alice) == 1000


def test_up_and_down_and_up_again_brings_the_difference_once(alice, small, big):
    subscribe(alice, small)
    first = move(alice, big).change
    move(alice, small)
    move(alice, big)

    assert available(alice) == 100 + first.credits
    with pytest.raises(SubscriptionUnchanged):
        move(alice, big)


def test_each_upgrade_of_a_period_brings_its_own_difference(alice, small, big):
    subscribe(alice, small)
    changes = [move(alice, plan(500)).change, move(alice, big).change]

    assert available(alice) == 100 + sum(change.credits for change in changes)
    assert Entry.objects.filter(operation="subscription").count() == 3
    assert reconcile(Scope())[1] == []


def test_the_same_key_changes_once_and_another_payload_is_refused(alice, small, big):
    subscribe(alice, small)

    first = move(alice, big, idempotency_key="k")
    again = move(alice, big, idempotency_key="k")

    assert (again.is_replay, again.change) == (True, first.change)
    assert SubscriptionChange.objects.count() == 2
    with pytest.raises(IdempotencyKeyReused):
        move(alice, small, idempotency_key="k")


def test_a_withdrawn_plan_keeps_its_customers_and_accepts_no_new_ones(alice, small, big):
    subscribe(alice, big)
    small.is_active = big.is_active = False
    small.save()
    big.save()

    with pytest.raises(PlanNotOffered):
        move(alice, small)
    with pytest.raises(PlanNotOffered, match="by the year"):
        move(alice, big, YEARLY)
    with pytest.raises(PlanNotOffered):
        subscribe(UserFactory(), big)


def test_an_impossible_change_is_refused_with_its_reason(alice, small, big):
    subscribe(alice, small)
    pause(alice)
    with pytest.raises(SubscriptionUnchanged, match="paused"):
        move(alice, big)
    cancel(alice)
    with pytest.raises(SubscriptionNotFound):
        move(alice, big)


def test_a_record_kept_by_hand_brings_nothing_and_is_only_canceled(small, big):
    bob = SubscriptionFactory(plan=small).user
    let_time_pass(bob, months=1)

    assert available(bob) == 0
    with pytest.raises(SubscriptionNotFound):
        move(bob, big)
    cancel(bob)
    assert subscription_of(bob).status == SubscriptionStatus.CANCELED
    assert reconcile(Scope())[1] == []


def test_plan_changes_among_charges_keep_every_sum(alice, small, big):
    subscribe(alice, small)
    charge(alice, credits=100)
    extra = move(alice, big).change.credits
    charge(alice, credits=extra)

    let_time_pass(alice, months=2)

    assert available(alice) == 1000
    left(alice)
    assert reconcile(Scope())[1] == []
