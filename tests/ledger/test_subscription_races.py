"""Subscriptions that staff, jobs and customers change concurrently."""

import itertools

import pytest
from django.db import transaction

from ledger.errors import SubscriptionExists
from ledger.models import Entry, SubscriptionChange, SubscriptionPeriod
from ledger.selectors import balance_of
from ledger.services.grants import settle_grants
from ledger.services.subscriptions.renewals import renew_subscription
from tests.accounts.races import at_once
from tests.factories import UserFactory
from tests.ledger.races import before_it_commits
from tests.ledger.subscribing import cancel, let_time_pass, move, pause, plan, spans, subscribe
from tests.usage.metering import charge
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE = 8


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def test_a_due_period_is_begun_once_however_many_come_at_once(alice):
    subscribe(alice, plan(100, cap=30))
    let_time_pass(alice, months=3)

    calls = itertools.cycle([
        lambda: renew_subscription(user_id=alice.pk),
        lambda: settle_grants(user_id=alice.pk),
        lambda: charge(alice, credits=1),
    ])  # fmt: skip

    answers = at_once(9, lambda: next(calls)())

    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert len(spans(alice)) == 4
    assert balance_of(user_id=alice.pk).available == 127
    assert reconcile(Scope())[1] == []


def test_one_of_many_starts_at_once_wins(alice):
    to = plan(100)

    answers = at_once(AT_ONCE, lambda: subscribe(alice, to))

    assert sorted(type(answer).__name__ for answer in answers) == ["Subscription"] + ["SubscriptionExists"] * 7
    assert balance_of(user_id=alice.pk).available == 100


def test_a_key_sent_many_times_at_once_upgrades_once(alice):
    subscribe(alice, plan(100))
    big = plan(1000)

    answers = at_once(AT_ONCE, lambda: move(alice, big, idempotency_key="double click"))

    assert len({answer.change.pk for answer in answers}) == 1
    assert sum(answer.is_replay for answer in answers) == AT_ONCE - 1
    assert Entry.objects.filter(operation="subscription").count() == 2
    assert reconcile(Scope())[1] == []


def test_a_second_change_waits_for_the_first(alice):
    to = plan(100)

    def second():
        with pytest.raises(SubscriptionExists):
            subscribe(alice, to)

    before_it_commits(lambda: subscribe(alice, to), second)

    assert SubscriptionChange.objects.count() == 1


def test_a_renewal_that_waits_for_a_pause_or_a_cancellation_brings_nothing_after_it(alice):
    subscribe(alice, plan(100))

    for change in (pause, cancel):
        before_it_commits(lambda change=change: change(alice), lambda: renew_subscription(user_id=alice.pk))

    let_time_pass(alice, months=2)
    assert renew_subscription(user_id=alice.pk) == 0
    assert len(spans(alice)) == 1


def test_an_interrupted_renewal_leaves_nothing_and_the_next_completes_it(alice):
    subscribe(alice, plan(100))
    let_time_pass(alice, months=2)

    def broken_off():
        with transaction.atomic():
            renew_subscription(user_id=alice.pk)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()

    assert SubscriptionPeriod.objects.count() == 1
    assert renew_subscription(user_id=alice.pk) == 2
    assert balance_of(user_id=alice.pk).available == 100
    assert reconcile(Scope())[1] == []
