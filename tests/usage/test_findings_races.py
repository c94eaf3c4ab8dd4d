"""Findings that many people close at once, and many runs note."""

from __future__ import annotations

import pytest

from ledger.selectors import terms_of
from tests.accounts.races import at_once
from tests.backoffice import audit, found
from tests.factories import StaffFactory, customer_with
from usage.models import FindingEvent, ReconciliationFinding
from usage.services.findings.closing import close_finding

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _findings_freeze(settings):
    settings.RECONCILIATION_FREEZES_ACCOUNT = True


def is_frozen(user):
    return terms_of(user_id=user.pk).frozen_at is not None


def close(finding):
    return close_finding(
        finding_id=finding.pk, note="Settled", actor_id=StaffFactory().pk, idempotency_key=f"k-{finding.pk}"
    )


def test_sixteen_runs_that_find_the_same_keep_it_once():
    alice = customer_with(1)
    runs = iter([audit(findings=1) for _ in range(16)])

    outcomes = at_once(16, lambda: found(alice, run=next(runs)))

    assert set(outcomes) == {ReconciliationFinding.objects.get()}
    assert FindingEvent.objects.count() == 1
    assert ReconciliationFinding.objects.get().times_found == 16
    assert is_frozen(alice)


def test_sixteen_people_who_close_a_finding_close_it_once():
    alice = customer_with(1)
    finding, staff = found(alice), StaffFactory()

    keys = iter(range(16))

    outcomes = at_once(
        16,
        lambda: close_finding(
            finding_id=finding.pk, note="Settled", actor_id=staff.pk, idempotency_key=f"k{next(keys)}"
        ),
    )

    assert sum(not isinstance(each, Exception) for each in outcomes) == 1
    assert FindingEvent.objects.filter(finding=finding, kind="closed").count() == 1
    assert not is_frozen(alice)


def test_the_last_of_findings_that_are_closed_at_once_unfreezes_the_account():
    alice = customer_with(1)
    findings = [found(alice, number) for number in range(16)]

    left = iter(findings)
    at_once(16, lambda: close(next(left)))

    assert not ReconciliationFinding.objects.filter(closed_at=None).exists()
    assert not is_frozen(alice)
