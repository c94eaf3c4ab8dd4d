"""Reconciliation of alerts: a threshold that differs from its alert is found."""

from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.services.thresholds import watch_available
from tests.factories import customer_with
from tests.ledger.tampering import tamper
from usage.models import AlertKind
from usage.services.alerts.actions import create_alert
from usage.services.alerts.checks import ALERT_CHECKS
from usage.services.alerts.crossings import watch_depletion
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice(transactional_db):
    """A customer with an alert of each watched kind, one that is not watched, and another threshold."""
    alice = customer_with(100)
    now = timezone.now()
    create_alert(user_id=alice.pk, kind=AlertKind.BALANCE_BELOW, threshold=Decimal(50), now=now)
    create_alert(user_id=alice.pk, kind=AlertKind.BALANCE_BELOW, threshold=Decimal(20), now=now, is_enabled=False)
    create_alert(user_id=alice.pk, kind=AlertKind.RUNWAY_BELOW, threshold=7, now=now)
    watch_depletion(user_id=alice.pk, now=now)
    watch_available(user_id=alice.pk, name="another", below=Decimal(10))
    return alice


def test_alerts_watched_as_configured_pass(alice):
    assert reconcile(Scope())[1] == []


def test_an_unarmed_depleted_alert_passes(alice):
    tamper("DELETE FROM ledger_threshold WHERE name = 'alert-depleted'")

    assert reconcile(Scope())[1] == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger_threshold WHERE below = 50",
        "UPDATE ledger_threshold SET below = 49 WHERE below = 50",
        "UPDATE ledger_threshold SET name = 'alert-0' WHERE below = 50",
        "UPDATE usage_alert SET is_enabled = NOT is_enabled WHERE kind = 'balance_below'",
        "UPDATE usage_alert SET is_enabled = false WHERE kind = 'depleted'",
        "DELETE FROM usage_alert WHERE credits = 50",
    ],
)
def test_tampering_is_found(alice, statement):
    tamper(statement)

    findings = reconcile(Scope())[1]

    assert (ALERT_CHECKS[0].name, alice.pk) in {(finding.check, finding.user_id) for finding in findings}
    assert reconcile(Scope(user_id=alice.pk))[1] == findings
    assert reconcile(Scope(user_id=customer_with(1).pk))[1] == []
