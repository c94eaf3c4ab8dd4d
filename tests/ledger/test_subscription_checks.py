"""Reconciliation of subscriptions: every change past the guards is found."""

import pytest

from ledger.services.subscriptions.checks import SUBSCRIPTION_CHECKS
from tests.factories import UserFactory
from tests.ledger.granting import left
from tests.ledger.subscribing import let_time_pass, move, pause, plan, resume, subscribe
from tests.ledger.tampering import tamper
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)

OF_ALICE = "user_id = (SELECT id FROM accounts_user WHERE email = 'alice@example.com')"
FIRST = f"id = (SELECT min(id) FROM ledger_subscriptionperiod WHERE {OF_ALICE})"
LAST = f"id = (SELECT max(id) FROM ledger_subscriptionperiod WHERE {OF_ALICE})"
TAMPERINGS = {
    f"UPDATE ledger_subscriptionperiod SET credits = 1 WHERE {FIRST}": {"period_is_its_entries"},
    f"UPDATE ledger_subscriptionperiod SET entry_id = NULL WHERE {FIRST}": {
        "period_is_its_entries", "entry_is_of_one_period",
    },
    f"UPDATE ledger_subscriptionchange SET credits = 1 WHERE {OF_ALICE} AND kind = 'upgrade'": {
        "upgrade_is_its_entries",
    },
    f"UPDATE ledger_subscriptionchange SET entry_id = (SELECT min(entry_id) FROM ledger_subscriptionperiod"
    f" WHERE {OF_ALICE}) WHERE {OF_ALICE} AND kind = 'pause'": {"entry_is_of_one_period", "upgrade_is_its_entries"},
    f"UPDATE ledger_subscriptionperiod SET ends_at = ends_at - interval '1 day' WHERE {FIRST}": {
        "period_follows_period",
    },
    f"DELETE FROM ledger_subscriptionperiod WHERE {LAST}": {"running_period_is_written", "entry_is_of_one_period"},
    f"UPDATE ledger_balance SET next_expiry_at = 'infinity' WHERE {OF_ALICE}": {"renewal_is_awaited"},
}  # fmt: skip


@pytest.fixture
def alice():
    """Create a customer whose subscription was upgraded, renewed, paused over the end of a period, and resumed."""
    alice = UserFactory(email="alice@example.com")
    subscribe(alice, plan(100, cap=30))
    move(alice, plan(1000, cap=300))
    let_time_pass(alice, months=2)
    left(alice)
    pause(alice)
    let_time_pass(alice, months=2)
    resume(alice)
    return alice


def found():
    return reconcile(Scope())[1]


def test_an_eventful_subscription_passes_every_check(alice):
    assert found() == []


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_tampering_is_found(alice, statement):
    subscribe(UserFactory(), plan(5))

    tamper(statement)

    findings = found()
    assert {finding.check for finding in findings} >= TAMPERINGS[statement]
    assert {finding.user_id for finding in findings} == {alice.pk}
    assert reconcile(Scope(user_id=alice.pk))[1] == findings
    assert all(finding.detail.endswith(".") for finding in findings)


def test_every_check_has_a_tampering_that_it_finds():
    assert {check.name for check in SUBSCRIPTION_CHECKS} <= set().union(*TAMPERINGS.values())
