"""Reconciliation of reversals: states that bugs once produced, made by hand past the guards, are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from ledger.models import DisputeStatus
from ledger.providers import fake as cards
from ledger.services.payments.reversals import note_dispute, note_refund
from ledger.services.reconciliation.reversal_checks import REVERSAL_CHECKS
from tests.ledger.granting import end, granted, left
from tests.ledger.paying import bought
from tests.ledger.tampering import unguarded
from tests.usage.metering import charge, refund
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


def found(user):
    findings = reconcile(Scope())[1]
    assert {finding.user_id for finding in findings} <= {user.pk}
    assert all(finding.detail.endswith(".") for finding in findings)
    assert reconcile(Scope(user_id=user.pk))[1] == findings
    return {finding.check for finding in findings}


def as_owner(*statements, **values):
    with unguarded() as connection:
        for statement in statements:
            connection.execute(statement, values)


def dispute(payment, *statuses):
    for status in statuses:
        note_dispute(
            payment_id=payment.pk, provider_dispute_id="dp", amount_minor=1250, status=status, now=timezone.now()
        )


def test_a_reversal_that_drew_on_another_grant_is_found(bob):
    gift = granted(bob, 1000, days=1)
    payment = bought(bob, cards.APPROVE)
    note_refund(payment_id=payment.pk, refunded_minor=1250, now=timezone.now())
    left(bob)
    assert found(bob) == set()

    as_owner(
        "UPDATE ledger_grantdraw SET grant_id = %(gift)s WHERE grant_id = %(own)s",
        "UPDATE ledger_grant SET remaining = amount - remaining WHERE entry_id IN (%(gift)s, %(own)s)",
        gift=gift.pk,
        own=payment.entry_id,
    )

    assert found(bob) == {"reversal_draws_on_its_own_grant"}


def test_a_reversal_that_drew_on_others_once_its_own_was_spent_is_right(bob):
    payment = bought(bob, cards.APPROVE)
    charge(bob, credits=900)
    granted(bob, 500, days=1)
    note_refund(payment_id=payment.pk, refunded_minor=1250, now=timezone.now())
    left(bob)

    assert found(bob) == set()


GAVE_BACK = "user_id = %(user)s AND credits < 0"


@pytest.mark.parametrize("covers_up", [False, True])
def test_a_dispute_that_was_won_and_gave_back_to_no_grant_is_found(bob, covers_up):
    payment = bought(bob, cards.APPROVE)
    dispute(payment, DisputeStatus.OPEN, DisputeStatus.WON)
    assert left(bob) == {payment.entry_id: 1000}
    assert found(bob) == set()

    as_owner(
        f"DELETE FROM ledger_grantdraw WHERE {GAVE_BACK}",
        "UPDATE ledger_grant SET remaining = 0 WHERE entry_id = %(own)s",
        "UPDATE ledger_grantprogress SET overdrawn = -1000 WHERE user_id = %(user)s AND %(covers_up)s",
        own=payment.entry_id,
        user=bob.pk,
        covers_up=covers_up,
    )

    assert found(bob) == {"what_is_given_back_reaches_grants"} | (set() if covers_up else {"lots_are_the_balance"})


def test_credits_given_back_to_another_grant_than_was_drawn_on_are_found(bob):
    other = granted(bob, 1000)
    payment = bought(bob, cards.APPROVE)
    charge(bob, credits=1000)
    dispute(payment, DisputeStatus.OPEN, DisputeStatus.WON)
    assert left(bob) == {other.pk: 0, payment.entry_id: 1000}

    as_owner(
        f"UPDATE ledger_grantdraw SET grant_id = %(other)s WHERE {GAVE_BACK}",
        "UPDATE ledger_grant SET remaining = 1000 - remaining WHERE user_id = %(user)s",
        other=other.pk,
        user=bob.pk,
    )

    assert found(bob) == {"grants_get_back_what_was_drawn"}


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_refund_into_an_ended_grant_whose_expiry_is_not_posted_is_found(bob, is_settled):
    gift = granted(bob, 50, days=1)
    spent = charge(bob, credits=50)
    end(gift)
    refund(spent.id)
    assert found(bob) == set()

    as_owner(
        "DELETE FROM ledger_grantdraw WHERE user_id = %(user)s AND last_seq = 4",
        "DELETE FROM ledger_entry WHERE user_id = %(user)s AND seq = 4",
        "UPDATE ledger_grant SET remaining = 50, expired = 0 WHERE entry_id = %(gift)s",
        "UPDATE ledger_grantprogress SET seq = 3 WHERE user_id = %(user)s",
        """UPDATE ledger_balance b SET (seq, balance, granted_total, seal, next_expiry_at) = (
               SELECT seq, balance_after, 50, e.seal, timestamptz '9999-12-31'
               FROM ledger_entry e WHERE e.user_id = b.user_id AND seq = 3)
           WHERE user_id = %(user)s""",
        user=bob.pk,
        gift=gift.pk,
    )
    if not is_settled:
        as_owner(
            f"DELETE FROM ledger_grantdraw WHERE {GAVE_BACK}",
            "UPDATE ledger_grant SET remaining = 0 WHERE entry_id = %(gift)s",
            "UPDATE ledger_grantprogress SET seq = 2 WHERE user_id = %(user)s",
            user=bob.pk,
            gift=gift.pk,
        )

    assert "expiries_are_posted_before_other_entries" in found(bob)


def test_every_check_of_reversals_has_a_state_that_breaks_it():
    text = Path(__file__).read_text(encoding="utf-8")

    assert [check.name for check in REVERSAL_CHECKS if f'"{check.name}"' not in text] == []
