"""With RECONCILIATION_FREEZES_ACCOUNT a finding about a customer freezes the account until it is closed."""

from __future__ import annotations

import pytest
from django.utils import timezone

from ledger.providers import fake as cards
from ledger.selectors import terms_of
from ledger.services.controls import freeze_balance, unfreeze_balance
from ledger.services.payments.reversals import note_dispute
from tests.backoffice import found
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.ledger.paying import bought
from usage.models import ReconciliationFinding
from usage.services.findings.closing import close_finding

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _findings_freeze(settings):
    settings.RECONCILIATION_FREEZES_ACCOUNT = True


def is_frozen(user):
    return terms_of(user_id=user.pk).frozen_at is not None


def close(finding, key="k"):
    return close_finding(
        finding_id=finding.pk, note="Settled", actor_id=StaffFactory().pk, idempotency_key=f"{key}-{finding.pk}"
    )


def by_staff(change, user, key):
    change(user_id=user.pk, note="A lawyer wrote", actor_id=StaffFactory().pk, idempotency_key=key)


def test_a_finding_freezes_the_account_that_it_is_about_and_no_other():
    alice, bob = customer_with(1), customer_with(1)

    found(alice)

    assert (is_frozen(alice), is_frozen(bob)) == (True, False)


def test_without_the_setting_a_finding_freezes_nothing(settings):
    settings.RECONCILIATION_FREEZES_ACCOUNT = False
    alice = customer_with(1)

    found(alice)

    assert not is_frozen(alice)


def test_a_finding_about_nobody_or_about_a_customer_without_a_balance_is_kept():
    found(None)
    found(UserFactory())

    assert ReconciliationFinding.objects.count() == 2


def test_closing_the_finding_unfreezes_the_account():
    alice = customer_with(1)
    finding = found(alice)

    close(finding)

    assert not is_frozen(alice)


def test_the_account_stays_frozen_while_another_finding_about_it_is_open():
    alice = customer_with(1)
    first, second = found(alice, 1), found(alice, 2)

    close(first)
    frozen_after_one = is_frozen(alice)
    close(second)

    assert (frozen_after_one, is_frozen(alice)) == (True, False)


def test_a_freeze_of_the_staff_before_the_finding_stays():
    alice = customer_with(1)
    by_staff(freeze_balance, alice, "f")

    close(found(alice))

    assert is_frozen(alice)


def test_a_freeze_of_the_staff_after_the_finding_stays():
    alice = customer_with(1)
    finding = found(alice)
    by_staff(unfreeze_balance, alice, "u")
    by_staff(freeze_balance, alice, "f")

    close(finding)

    assert is_frozen(alice)


def test_a_known_finding_does_not_freeze_again_what_staff_unfroze():
    alice = customer_with(1)
    found(alice)
    by_staff(unfreeze_balance, alice, "u")

    found(alice)

    assert not is_frozen(alice)


def test_a_finding_that_is_found_again_after_it_was_closed_freezes_again():
    alice = customer_with(1)
    close(found(alice))

    again = found(alice)
    frozen = is_frozen(alice)
    close(again, "k2")

    assert (frozen, is_frozen(alice)) == (True, False)


def test_a_dispute_meanwhile_keeps_the_account_frozen(settings):
    settings.DISPUTE_FREEZES_ACCOUNT = True
    alice = customer_with(100)
    payment = bought(alice, cards.APPROVE)
    finding = found(alice)
    note_dispute(payment_id=payment.pk, provider_dispute_id="dp", amount_minor=1, status="open", now=timezone.now())

    close(finding)

    assert is_frozen(alice)
