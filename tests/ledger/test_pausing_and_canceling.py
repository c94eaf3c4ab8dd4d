"""Pausing, resuming, canceling and ending: credits already granted stay, and expire when they would have."""

import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.errors import (
    SubscriptionExists,
    SubscriptionNotFound,
    SubscriptionUnchanged,
    SubscriptionUntimely,
    UnknownCustomer,
)
from ledger.models import Balance
from ledger.models.balance import NEVER
from ledger.selectors import balance_of
from ledger.services.subscriptions.periods import months_after, prorated
from tests.account import client_of
from tests.factories import UserFactory
from tests.ledger.granting import left
from tests.ledger.subscribing import (
    cancel,
    let_time_pass,
    move,
    pause,
    plan,
    resume,
    spans,
    subscribe,
    subscription_of,
)
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def available(user):
    return balance_of(user_id=user.pk).available


def summary_of(user):
    return client_of(user).get("/auth/account/summary").json()["subscription"]


def test_a_paused_subscription_brings_nothing(alice):
    subscribe(alice, plan(100, cap=None))

    pause(alice)
    let_time_pass(alice, months=3)

    assert available(alice) == 100
    assert Balance.objects.get().next_expiry_at == NEVER
    assert (summary_of(alice)["status"], summary_of(alice)["next_grant_at"]) == ("paused", None)
    assert len(spans(alice)) == 1


def test_resuming_within_the_period_continues_it(alice):
    before = subscribe(alice, plan(100))
    pause(alice)

    resume(alice)

    after = subscription_of(alice)
    assert available(alice) == 100
    assert (after.status, after.anchor_at, after.next_grant_at) == ("active", before.anchor_at, before.next_grant_at)
    let_time_pass(alice, months=1)
    assert available(alice) == 100
    assert len(spans(alice)) == 1


def test_resuming_after_the_period_begins_a_new_one_with_its_credits(alice):
    subscribe(alice, plan(100, cap=None))
    pause(alice)
    let_time_pass(alice, months=2)

    change = resume(alice).change

    subscription = subscription_of(alice)
    assert available(alice) == 200
    assert subscription.anchor_at == subscription.current_period_start == change.effective_at
    assert subscription.next_grant_at == months_after(change.effective_at, 1)
    assert [credits for *_, credits in spans(alice)] == [100, 100]
    assert reconcile(Scope())[1] == []
    let_time_pass(alice, months=1)
    assert available(alice) == 300


def test_a_change_pending_through_a_pause_is_made_with_the_new_period(alice):
    subscribe(alice, plan(100))
    move(alice, plan(40, code="less"))
    pause(alice)
    let_time_pass(alice, months=2)

    resume(alice)

    assert available(alice) == 40
    assert subscription_of(alice).plan.code == "less"


def test_canceling_to_the_end_grants_and_takes_nothing_more(alice):
    subscribe(alice, plan(100, cap=None))

    cancel(alice)

    shown = summary_of(alice)
    assert (shown["status"], shown["cancel_at_period_end"], shown["next_grant_at"]) == ("active", True, None)
    assert shown["canceled_at"]
    let_time_pass(alice, months=3)
    assert available(alice) == 100
    assert summary_of(alice) is None
    assert subscription_of(alice).status == "canceled"
    assert reconcile(Scope())[1] == []


def test_a_pending_cancellation_can_be_taken_back(alice):
    subscribe(alice, plan(100))
    cancel(alice)

    change = resume(alice).change

    assert change.kind == "cancel_kept"
    assert (summary_of(alice)["cancel_at_period_end"], summary_of(alice)["canceled_at"]) == (False, None)
    let_time_pass(alice, months=1)
    assert available(alice) == 100


def test_canceling_at_once_ends_it_and_keeps_its_credits_until_they_expire(alice):
    subscription = subscribe(alice, plan(100))

    cancel(alice, at_once=True)

    assert summary_of(alice) is None
    assert available(alice) == 100
    assert Balance.objects.get().next_expiry_at == subscription.current_period_end
    let_time_pass(alice, months=1)
    assert available(alice) == 0


def test_after_the_end_another_one_may_be_started(alice):
    first = subscribe(alice, plan(100))
    with pytest.raises(SubscriptionExists):
        subscribe(alice, plan(100))
    cancel(alice, at_once=True)

    second = subscribe(alice, plan(200))

    assert first.pk != second.pk
    assert available(alice) == 300
    assert reconcile(Scope())[1] == []


def test_the_last_period_before_a_set_end_is_shorter_and_prorated(alice):
    start = timezone.now() - dt.timedelta(seconds=1)
    end = months_after(start, 1) + dt.timedelta(days=7, microseconds=1)
    subscribe(alice, plan(100), starts_at=start, ends_at=end)

    let_time_pass(alice, months=1)
    left(alice)

    (_, _, whole), (starts, ends, part) = spans(alice)
    subscription = subscription_of(alice)
    assert whole == 100
    assert ends == subscription.current_period_end == subscription.ends_at
    full = months_after(subscription.anchor_at, 2) - starts
    assert part == prorated(Decimal(100), part=ends - starts, whole=full) == available(alice)
    assert summary_of(alice)["next_grant_at"] is None
    let_time_pass(alice, days=8)
    assert summary_of(alice) is None
    assert (subscription_of(alice).status, available(alice)) == ("expired", 0)
    assert reconcile(Scope())[1] == []


def test_a_paused_subscription_ends_at_its_set_end(alice):
    subscribe(alice, plan(100), ends_at=timezone.now() + dt.timedelta(days=40))
    pause(alice)

    let_time_pass(alice, days=41)

    assert summary_of(alice) is None
    assert subscription_of(alice).status == "expired"


def test_an_action_that_does_not_fit_the_state_is_refused(alice):
    later, earlier = timezone.now() + dt.timedelta(days=1), timezone.now() - dt.timedelta(days=1)
    for times in ({"starts_at": later}, {"ends_at": earlier}):
        with pytest.raises(SubscriptionUntimely):
            subscribe(alice, plan(), **times)
    for service in (pause, resume, cancel):
        with pytest.raises(SubscriptionNotFound):
            service(alice)
    subscribe(alice, plan())
    with pytest.raises(SubscriptionUnchanged):
        resume(alice)
    pause(alice)
    with pytest.raises(SubscriptionUnchanged):
        pause(alice)
    resume(alice)
    cancel(alice)
    for service in (pause, cancel):
        with pytest.raises(SubscriptionUnchanged):
            service(alice)
    alice.pk += 1
    with pytest.raises(UnknownCustomer):
        subscribe(alice, plan())


def test_the_same_key_does_each_thing_once(alice):
    subscribe(alice, to := plan(100), idempotency_key="start")
    again = subscribe(alice, to, idempotency_key="start")
    for service in (pause, resume, cancel):
        assert [service(alice, idempotency_key=service.__name__).is_replay for _ in range(2)] == [False, True]

    assert again == subscription_of(alice)
    assert available(alice) == 100
