"""Refunds and disputes: money that was taken back takes its credits with it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.models import DisputeStatus, Entry
from ledger.providers import fake as cards
from ledger.services.payments.reversals import note_dispute, note_refund, settle_reversals
from ledger.services.payments.rounds import reversals_due
from ledger.services.payments.settling import record_answer
from tests.ledger.paying import bought, paid_answer, purchases
from tests.ledger.posting import freeze, hold, post
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db
OPEN, WON, LOST = DisputeStatus.OPEN, DisputeStatus.WON, DisputeStatus.LOST


@pytest.fixture
def payment(bob):
    return bought(bob, cards.APPROVE)


@pytest.fixture(autouse=True)
def _books_are_in_order(bob):
    yield
    assert reconcile(Scope())[1] == []


def refund(payment, minor):
    note_refund(payment_id=payment.pk, refunded_minor=minor, now=timezone.now())


def dispute(payment, status, name="dp_1", minor=1250):
    note_dispute(payment_id=payment.pk, provider_dispute_id=name, amount_minor=minor, status=status, now=timezone.now())


def test_a_refund_takes_back_all_by_an_entry_that_reverses_the_purchase(bob, payment):
    refund(payment, 1250)

    taken = Entry.objects.filter(user=bob).latest("seq")
    assert (taken.type, taken.reason, taken.amount) == ("adjustment", "chargeback", Decimal(-1000))
    assert (taken.reverses_id, taken.description) == (payment.entry_id, "Payment refunded")
    assert taken.metadata == {"payment_id": payment.pk}


def test_a_partial_refund_takes_back_its_part_exactly(bob, payment):
    for refunded in (1, 417, 1249, 1250):
        refund(payment, refunded)

    assert purchases(bob)[1] == Decimal("-0.8")
    assert sum(purchases(bob)) == 0


@pytest.mark.parametrize("later", [[1250, 1250], [1250, 600], [1250, 5000]])
def test_late_repeated_and_excessive_messages_take_nothing_more(bob, payment, later):
    for refunded in later:
        refund(payment, refunded)

    assert purchases(bob) == [1000, -1000]


def test_a_refund_reported_before_the_payment_is_taken_back_after_it(bob):
    payment = bought(bob, cards.AUTHENTICATE)
    refund(payment, 625)
    assert purchases(bob) == []

    record_answer(payment_id=payment.pk, answer=paid_answer(payment), source="webhook", now=timezone.now())

    assert purchases(bob) == [1000, -500]


@pytest.mark.parametrize(
    ("heard", "entries"),
    [
        ([OPEN], [1000, -1000]),
        ([OPEN, OPEN, LOST], [1000, -1000]),
        ([OPEN, WON], [1000, -1000, 1000]),
        ([OPEN, WON, OPEN, LOST], [1000, -1000, 1000]),
        ([WON, OPEN], [1000]),
        ([LOST, OPEN], [1000, -1000]),
    ],
)
def test_a_dispute_takes_back_until_it_is_won_in_any_order_of_messages(bob, payment, heard, entries):
    for status in heard:
        dispute(payment, status)

    assert purchases(bob) == entries


def test_a_refund_and_a_dispute_take_back_no_more_than_was_given(bob, payment):
    refund(payment, 800)
    dispute(payment, OPEN)

    assert sum(purchases(bob)) == 0


def test_spent_or_held_credits_are_taken_back_when_available_again(bob, payment):
    post(bob, -700)
    held = hold(bob, 100).hold
    refund(payment, 1250)
    assert purchases(bob) == [1000, -200]
    assert reversals_due() == [payment.pk]
    assert settle_reversals(payment_id=payment.pk) == "insufficient"

    post(bob, 900)
    settle_reversals(payment_id=payment.pk)

    assert purchases(bob) == [1000, -200, -800]
    assert held.status == "open"
    assert reversals_due() == []
    assert settle_reversals(payment_id=payment.pk) == "nothing"


def test_a_reversal_debits_a_frozen_balance_which_stays_frozen(bob, payment):
    freeze(bob)
    bob.balance.refresh_from_db()
    frozen_at = bob.balance.frozen_at

    dispute(payment, OPEN)

    bob.balance.refresh_from_db()
    assert purchases(bob) == [1000, -1000]
    assert bob.balance.frozen_at == frozen_at


def test_an_unknown_payment_has_nothing_to_take_back(bob):
    assert settle_reversals(payment_id=0) == "not_found"
