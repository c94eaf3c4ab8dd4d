"""Reconciliation of grants: every change past the guards is found."""

import pytest

from ledger.services.reconciliation.checks import Scope
from ledger.services.reconciliation.grant_checks import GRANT_CHECKS
from tests.factories import customer_with
from tests.ledger.granting import end, extended, granted, left
from tests.ledger.tampering import tamper
from tests.usage.metering import charge, refund
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)

OF_ALICE = "user_id = (SELECT id FROM accounts_user WHERE email = 'alice@example.com')"
EXPIRED = f"entry_id = (SELECT entry_id FROM ledger_grant WHERE expired > 0 AND {OF_ALICE})"
ACTIVE = f"entry_id = (SELECT entry_id FROM ledger_grant WHERE remaining > 0 AND expires_at > now() AND {OF_ALICE})"
LONGEST = f"id = (SELECT id FROM ledger_grantdraw WHERE {OF_ALICE} ORDER BY last_seq - first_seq DESC LIMIT 1)"
TAMPERINGS = {
    f"UPDATE ledger_grant SET remaining = remaining - 1 WHERE {ACTIVE}": {"lots_are_the_balance", "lot_is_its_draws"},
    f"UPDATE ledger_grant SET amount = amount + 1, remaining = remaining + 1 WHERE {ACTIVE}": {
        "lots_are_the_balance",
        "lot_is_its_entry",
    },
    f"UPDATE ledger_grant SET expired = expired - 1 WHERE {EXPIRED}": {"expired_is_its_entries"},
    f"UPDATE ledger_grant SET expires_at = now() WHERE {ACTIVE}": {"expiry_of_lots_is_awaited", "lot_ends_as_recorded"},
    f"UPDATE ledger_grant SET expires_at = expires_at + interval '1 day' WHERE {ACTIVE}": {"lot_ends_as_recorded"},
    f"DELETE FROM ledger_grant WHERE {EXPIRED}": {"expired_is_its_entries"},
    f"DELETE FROM ledger_grantdraw WHERE {LONGEST}": {"lot_is_its_draws"},
    f"UPDATE ledger_grantdraw SET credits = credits - 1 WHERE {LONGEST}": {"draw_is_its_debits", "lot_is_its_draws"},
    f"UPDATE ledger_grantdraw SET first_credits = first_credits + 5, credits = credits + 5 WHERE {LONGEST}": {
        "draws_are_within_their_entry",
        "lot_is_its_draws",
    },
    f"UPDATE ledger_grantprogress SET overdrawn = 1 WHERE {OF_ALICE}": {"lots_are_the_balance"},
    f"UPDATE ledger_grantprogress SET seq = seq + 1 WHERE {OF_ALICE}": {"lots_are_the_balance"},
}


@pytest.fixture
def alice():
    """Create a customer with one expired grant, one drawn on by several debits, and one untouched."""
    alice = customer_with(10, email="alice@example.com")
    soon, later = granted(alice, 7, days=1), granted(alice, 5, days=2)
    charges = [charge(alice, credits=credits) for credits in (1, 2, 2)]
    refund(charges[1].id, 1)
    end(soon)
    charge(alice, credits=1)
    left(alice)
    extended(later, days=1)
    return alice


def found():
    return reconcile(Scope())[1]


def test_grants_drawn_on_expired_and_refunded_pass_every_check(alice):
    assert found() == []


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_tampering_is_found(alice, statement):
    left(bob := customer_with(3))
    charge(bob, credits=1)

    tamper(statement)

    findings = found()
    assert {finding.check for finding in findings} >= TAMPERINGS[statement]
    assert {finding.user_id for finding in findings} == {alice.pk}
    assert reconcile(Scope(user_id=alice.pk))[1] == findings
    assert all(finding.detail.endswith(".") for finding in findings)


def test_every_check_has_a_tampering_that_it_finds():
    assert {check.name for check in GRANT_CHECKS} == set().union(*TAMPERINGS.values())
