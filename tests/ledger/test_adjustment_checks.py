"""Reconciliation of adjustments: states that the guards prevent, made by hand past them, are found."""

import pytest

from ledger.services.adjustments.checks import ADJUSTMENT_CHECKS
from tests.factories import StaffFactory, customer_with
from tests.ledger.adjusting import approve, ask, limited, send
from tests.ledger.tampering import unguarded
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)

BROKEN = {
    "UPDATE ledger_adjustmentrequest SET amount = 61, total = 61 WHERE amount = 60": "adjustment_has_its_entry",
    "DELETE FROM ledger_adjustmentrequest WHERE amount = 60": "adjustment_has_its_entry",
    "UPDATE ledger_adjustmentline SET user_id = (SELECT max(id) FROM accounts_user)": (
        "adjustment_has_its_second_person"
    ),
    "UPDATE ledger_adjustmentday SET credits = credits + 1": "adjustments_of_a_day_add_up",
    "DELETE FROM ledger_adjustmentday": "adjustments_of_a_day_add_up",
    "DELETE FROM ledger_adjustmentline": "adjustment_file_is_its_lines",
    "UPDATE ledger_adjustmentline SET amount = -amount - 1": "adjustment_file_is_its_lines",
}


@pytest.fixture
def alice():
    alice, clerk = customer_with(100), limited(StaffFactory(), single=50, daily=100)
    boss = StaffFactory()
    ask(alice, 10, by=clerk)
    ask(alice, 80, by=clerk)
    approve(ask(alice, 60, by=clerk).request, by=boss)
    approve(send(f"{alice.pk},70,goodwill,x,", by=clerk).request, by=boss)
    assert reconcile(Scope())[1] == []
    return alice


@pytest.mark.parametrize(("statement", "check"), BROKEN.items())
def test_a_broken_promise_is_found(alice, statement, check):
    with unguarded() as connection:
        connection.execute(statement)

    findings = reconcile(Scope())[1]

    assert {finding.check for finding in findings} == {check}
    assert all(finding.detail.endswith(".") for finding in findings)


def test_every_check_is_tried():
    assert {check.name for check in ADJUSTMENT_CHECKS} == set(BROKEN.values())
