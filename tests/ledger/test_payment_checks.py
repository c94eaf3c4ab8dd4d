"""Reconciliation of payments: every change past the guards is found."""

from __future__ import annotations

import pytest
from django.utils import timezone

from ledger.providers import fake as cards
from ledger.services.payments.checks import PAYMENT_CHECKS
from ledger.services.payments.reversals import note_refund
from tests.ledger.paying import bought
from tests.ledger.refunding import refunded
from tests.ledger.tampering import tamper
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)
PAID = "(SELECT min(id) FROM ledger_payment)"
TAMPERINGS = {
    f"UPDATE ledger_payment SET credits = credits + 1 WHERE id = {PAID}": "payment_has_its_entry",
    f"UPDATE ledger_payment SET entry_id = entry_id + 100 WHERE id = {PAID}": "payment_has_its_entry",
    f"UPDATE ledger_payment SET state = 'failed', entry_id = NULL WHERE id = {PAID}": "entry_has_its_payment",
    f"DELETE FROM ledger_payment WHERE id = {PAID}": "entry_has_its_payment",
    f"UPDATE ledger_payment SET refunded_minor = 0 WHERE id = {PAID}": "reversals_follow_the_money",
    f"UPDATE ledger_payment SET credits_owed = 1 WHERE id = {PAID}": "what_is_owed_is_noted",
    "DELETE FROM ledger_paymentrefund": "refund_by_staff_is_noted",
}


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_tampering_is_found(bob, statement):
    payment = bought(bob, cards.APPROVE)
    note_refund(payment_id=payment.pk, refunded_minor=625, now=timezone.now())
    refunded(payment, 625)
    checked, findings = reconcile(Scope())
    assert (checked["payments"], findings) == (1, [])

    tamper("DELETE FROM ledger_paymentoutcome")
    tamper(statement)

    findings = reconcile(Scope())[1]
    assert TAMPERINGS[statement] in {finding.check for finding in findings}
    assert {finding.user_id for finding in findings} == {bob.pk}
    assert reconcile(Scope(user_id=bob.pk))[1] == findings


def test_every_check_has_a_tampering_that_it_finds():
    assert {check.name for check in PAYMENT_CHECKS} == set(TAMPERINGS.values())
