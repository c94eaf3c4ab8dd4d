"""One payment is credited once: by many concurrent callers, and wherever one of them is interrupted."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Notice
from ledger.models import Payment, PaymentState
from ledger.providers import fake as cards
from ledger.services.payments import settling
from ledger.services.payments.reversals import note_refund
from ledger.services.payments.rounds import payments_in_doubt, settle_one
from ledger.services.payments.settling import record_answer
from tests.accounts.races import at_once
from tests.ledger.paying import LATER, bought, buy, card, entries_of, fake, package, paid_answer, purchases, settled
from tests.ledger.running import run
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


def receipts_of(user):
    return list(Notice.objects.of(user.pk).filter(type="top_up.succeeded").values_list("key", flat=True))


class Crash(Exception):
    """Ends the process here."""


def assert_credited_once(user, payment):
    assert purchases(user) == [payment.credits]
    assert Payment.objects.get(pk=payment.pk).state == PaymentState.SUCCEEDED
    assert reconcile(Scope())[1] == []


def test_one_payment_settled_from_eight_threads_is_one_entry(bob):
    payment = bought(bob, cards.ANSWER_LOST)

    outcomes = at_once(8, lambda: settled(payment).state)

    assert outcomes == [PaymentState.SUCCEEDED] * 8
    assert_credited_once(bob, payment)
    assert receipts_of(bob) == [str(payment.pk)]


def test_the_same_purchase_posted_at_once_is_one_payment_and_one_charge(bob):
    package()
    card(bob, cards.APPROVE)

    outcomes = at_once(6, lambda: buy(bob, cards.APPROVE, key="one"))

    (payment_id,) = {started.payment.pk for started in outcomes}
    payment = Payment.objects.get(pk=payment_id)
    assert [started.is_replay for started in outcomes].count(False) == 1
    assert fake().charges.count(payment.provider_key) == 1
    assert_credited_once(bob, payment)


def test_five_messages_at_once_in_any_order_credit_once(bob):
    payment = bought(bob, cards.AUTHENTICATE)
    paid = paid_answer(payment)
    others = [PaymentState.PENDING, PaymentState.FAILED, PaymentState.SUCCEEDED, PaymentState.EXPIRED]
    messages = iter([paid, *(replace(paid, state=state) for state in others)])

    outcomes = at_once(
        5, lambda: record_answer(payment_id=payment.pk, answer=next(messages), source="webhook", now=timezone.now())
    )

    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert_credited_once(bob, payment)


def test_refunds_reported_at_once_take_back_once(bob):
    payment = bought(bob, cards.APPROVE)

    outcomes = at_once(6, lambda: note_refund(payment_id=payment.pk, refunded_minor=1250, now=timezone.now()))

    assert outcomes == [None] * 6
    assert purchases(bob) == [Decimal(1000), Decimal(-1000)]
    assert reconcile(Scope())[1] == []


def test_a_payment_and_its_refund_at_once_neither_deadlock_nor_lose_anything(bob):
    payment = bought(bob, cards.AUTHENTICATE)
    calls = iter(
        [
            lambda: record_answer(
                payment_id=payment.pk, answer=paid_answer(payment), source="webhook", now=timezone.now()
            )
        ]
        * 3
        + [lambda: note_refund(payment_id=payment.pk, refunded_minor=625, now=timezone.now())] * 3
    )

    outcomes = at_once(6, lambda: next(calls)())

    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert purchases(bob) == [Decimal(1000), Decimal(-500)]
    assert reconcile(Scope())[1] == []


def test_no_provider_is_called_inside_a_transaction(bob, monkeypatch):
    package()
    seen = []
    provider = fake()
    for name in ("create_customer", "charge", "look_up", "start_checkout", "card"):
        monkeypatch.setattr(provider, name, _watched(getattr(provider, name), seen))

    bought(bob, cards.APPROVE)
    settled(bought(bob))

    assert seen == [False] * len(seen)
    assert len(seen) >= 4


def _watched(call, seen):
    def watched(*args, **kwargs):
        seen.append(connection.in_atomic_block)
        return call(*args, **kwargs)

    return watched


def _crash(*_args, **_kwargs):
    raise Crash


def crash_before_the_call(monkeypatch):
    monkeypatch.setattr(fake(), "charge", _crash)


def crash_after_the_call(monkeypatch):
    charge = fake().charge

    def charged_and_gone(order):
        charge(order)
        raise Crash

    monkeypatch.setattr(fake(), "charge", charged_and_gone)


def crash_after_the_entry(monkeypatch):
    monkeypatch.setattr(settling, "note_outcome", _crash)


def crash_after_the_credit(monkeypatch):
    credit = settling._credit

    def credited_and_gone(*payment_and_answer):
        credit(*payment_and_answer)
        raise Crash

    monkeypatch.setattr(settling, "_credit", credited_and_gone)


@pytest.mark.parametrize(
    ("crash", "state"),
    [
        (crash_before_the_call, PaymentState.FAILED),
        (crash_after_the_call, PaymentState.SUCCEEDED),
        (crash_after_the_entry, PaymentState.SUCCEEDED),
        (crash_after_the_credit, PaymentState.SUCCEEDED),
    ],
)
def test_a_crash_between_any_two_steps_is_settled_by_the_next_round(bob, monkeypatch, crash, state):
    with monkeypatch.context() as broken:
        crash(broken)
        with pytest.raises(Crash):
            bought(bob, cards.APPROVE)
    payment = Payment.objects.get()

    for payment_id in payments_in_doubt(now=payment.created_at + LATER):
        settle_one(payment_id=payment_id, now=payment.created_at + LATER)
    ran = run("settle_payments", "--json")

    assert ran.code == 0
    assert Payment.objects.get().state == state
    assert len(entries_of(payment)) == len(receipts_of(bob)) == (state == PaymentState.SUCCEEDED)
    assert reconcile(Scope())[1] == []
