"""Concurrent and interrupted auto-reload: one gap, one payment, one entry."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from ledger.models import OffReason, PaymentState
from ledger.providers import fake as cards
from ledger.services.auto_reload import buying
from ledger.services.auto_reload.buying import reload_one
from ledger.services.auto_reload.switching import switch_off_auto_reload
from ledger.services.payments import settling
from ledger.services.payments.cards import remove_card
from ledger.services.payments.rounds import payments_in_doubt, settle_one
from ledger.services.payments.settling import record_answer, settle_payment
from tests.accounts.races import at_once
from tests.factories import StaffFactory, customer_with
from tests.ledger.paying import LATER, fake, paid_answer, purchases
from tests.ledger.posting import post
from tests.ledger.races import before_it_commits
from tests.ledger.reloading import MINUTE, NOON, agreed, bought_credits, change, low, reload_of, reloads, run_all, told
from tests.ledger.running import run
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


class Crash(Exception):
    """Ends the process here."""


def _crash(*_args, **_kwargs):
    raise Crash


def test_eight_runs_at_once_make_one_payment():
    user = low(50)

    outcomes = at_once(8, lambda: reload_one(user_id=user.pk, now=NOON))

    assert outcomes.count("succeeded") == 1
    assert set(outcomes) <= {"succeeded", "coming", "waits", "enough"}
    assert bought_credits(user) == [1000]
    assert fake().charges.count(reloads(user)[0].provider_key) == 1
    assert reconcile(Scope())[1] == []


def test_runs_and_charges_at_once_buy_once_for_each_fall_below_the_threshold():
    user = customer_with(1000)
    agreed(user)
    calls = iter([lambda: post(user, -950), *[lambda: reload_one(user_id=user.pk, now=NOON)] * 6])

    outcomes = at_once(7, lambda: next(calls)())
    reload_one(user_id=user.pk, now=NOON)

    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert bought_credits(user) == [1000]


def test_turning_off_while_a_run_decides_waits_for_it_and_nothing_more_is_bought():
    user = low(50)
    clerk = StaffFactory()

    def switch_off():
        return switch_off_auto_reload(user_id=user.pk, actor_id=clerk.pk, note="x", idempotency_key="1", now=NOON)

    def decide():
        buying.lock_balance(user_id=user.pk)

    _, switched = before_it_commits(decide, switch_off)

    assert switched.event.reason == OffReason.STAFF
    assert reload_one(user_id=user.pk, now=NOON) == "off"


def test_turning_off_removing_the_card_and_running_at_once_neither_deadlock_nor_leave_it_on():
    user = low(50)
    method_id = reload_of(user).method_id
    calls = iter(
        [
            lambda: change(user, enabled=False),
            lambda: remove_card(user_id=user.pk, payment_method_id=method_id, now=NOON),
            *[lambda: reload_one(user_id=user.pk, now=NOON)] * 4,
        ]
    )

    outcomes = at_once(6, lambda: next(calls)())

    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert not reload_of(user).enabled
    assert len(reloads(user)) <= 1
    assert told(user).count("disabled") == 1
    assert reconcile(Scope())[1] == []


def test_five_messages_about_a_decline_at_once_count_as_one():
    user = low(50, cards.ANSWER_LOST)
    run_all()
    (payment,) = reloads(user)
    declined = replace(
        paid_answer(payment), state=PaymentState.FAILED, failure_code="card_declined", failure_message="No."
    )

    outcomes = at_once(5, lambda: record_answer(payment_id=payment.pk, answer=declined, source="webhook", now=NOON))

    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert reload_of(user).declines_in_a_row == 1
    assert told(user) == ["failed"]


def test_no_provider_is_called_inside_a_transaction(monkeypatch):
    user, seen = low(50), []
    charge = fake().charge
    monkeypatch.setattr(fake(), "charge", lambda order: seen.append(connection.in_atomic_block) or charge(order))

    run_all()

    assert seen == [False]
    assert bought_credits(user) == [1000]


def crash_before_the_call(monkeypatch):
    monkeypatch.setattr(fake(), "charge", _crash)


def crash_before_the_commit(monkeypatch):
    monkeypatch.setattr(buying, "note_event", _crash)


def crash_after_the_call(monkeypatch):
    charge = fake().charge

    def charged_and_gone(order):
        charge(order)
        raise Crash

    monkeypatch.setattr(fake(), "charge", charged_and_gone)


def crash_after_the_entry(monkeypatch):
    monkeypatch.setattr(settling, "note_success", _crash)


@pytest.mark.parametrize(
    ("crash", "begun"),
    [
        (crash_before_the_commit, []),
        (crash_before_the_call, [PaymentState.FAILED]),
        (crash_after_the_call, [PaymentState.SUCCEEDED]),
        (crash_after_the_entry, [PaymentState.SUCCEEDED]),
    ],
)
def test_a_crash_between_any_two_steps_leaves_one_purchase_in_the_end(monkeypatch, crash, begun):
    user = low(50)
    with monkeypatch.context() as broken:
        crash(broken)
        with pytest.raises(Crash):
            run_all()

    for payment_id in payments_in_doubt(now=NOON + LATER):
        settle_one(payment_id=payment_id, now=NOON + LATER)
    states = [payment.state for payment in reloads(user)]
    declines = reload_of(user).declines_in_a_row
    for minutes in range(6, 60):
        run_all(NOON + minutes * MINUTE)

    assert states == begun
    assert declines == 0
    assert bought_credits(user) == [1000]
    assert purchases(user) == [Decimal(1000)]
    assert reconcile(Scope())[1] == []


def test_two_runs_of_the_command_at_once_buy_once_and_print_the_outcome():
    user = low(50, now=timezone.now())

    outcomes = at_once(2, lambda: run("run_auto_reload", "--json"))

    assert [ran.code for ran in outcomes] == [0, 0]
    assert sum(ran.json["succeeded"] for ran in outcomes) == 1
    assert bought_credits(user) == [1000]


def test_a_provider_that_does_not_answer_ends_the_round_and_the_next_one_goes_on():
    for _ in range(7):
        low(50, cards.TIME_OUT, now=timezone.now())

    rounds = [run("run_auto_reload", "--json") for _ in range(2)]

    assert [(ran.json["due"], ran.json["pending"], ran.json["left"]) for ran in rounds] == [(7, 5, 2), (2, 2, 0)]
    assert "did not answer 5 times in a row" in rounds[0].err


def test_the_command_only_counts_on_a_dry_run():
    user = low(50, now=timezone.now())

    ran = run("run_auto_reload", "--dry-run", "--json")

    assert (ran.code, ran.json["due"], ran.json["succeeded"], ran.json["dry_run"]) == (0, 1, 0, True)
    assert reloads(user) == []


def test_settling_a_payment_from_eight_threads_credits_and_notifies_once():
    user = low(50, cards.ANSWER_LOST)
    run_all()
    (payment,) = reloads(user)

    at_once(8, lambda: settle_payment(payment_id=payment.pk, now=NOON + LATER))

    assert purchases(user) == [Decimal(1000)]
    assert told(user) == ["succeeded"]
