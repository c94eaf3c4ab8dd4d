"""Reconciliation of thresholds and auto-reload: every change past the guards is found."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.db.utils import InternalError, ProgrammingError

from ledger.models import AutoReload, AutoReloadEvent, Payment, PaymentState
from ledger.providers import fake as cards
from ledger.services.auto_reload.checks import RELOAD_CHECKS
from ledger.services.payments.settling import settle_payment
from tests.ledger.paying import fake
from tests.ledger.reloading import NOON, change, low, reload_of, reloads, run_all
from tests.ledger.tampering import tamper
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)
TAMPERINGS = {
    "UPDATE ledger_balance SET watch_below = NULL": "watch_is_highest_threshold",
    "UPDATE ledger_threshold SET crossed_at = now()": "watch_is_highest_threshold",
    "DELETE FROM ledger_threshold": "reload_has_its_threshold",
    "UPDATE ledger_threshold SET below = 99": "reload_has_its_threshold",
    "UPDATE ledger_autoreload SET enabled = false": "reload_has_its_threshold",
    "DELETE FROM ledger_autoreloadevent WHERE kind = 'attempt'": "reload_was_agreed_to",
    "DELETE FROM ledger_autoreloadevent WHERE kind = 'enabled'": "reload_was_agreed_to",
    "UPDATE ledger_autoreloadevent SET sentence = 'x' WHERE kind = 'enabled'": "reload_was_agreed_to",
    "UPDATE ledger_payment SET kind = 'top_up'": "reload_entry_is_its_payments",
    "UPDATE ledger_entry SET reason = 'purchase' WHERE reason = 'auto_reload'": "reload_entry_is_its_payments",
}


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_tampering_is_found(statement):
    user = low(50)
    run_all()
    assert reconcile(Scope())[1] == []

    tamper(statement)

    findings = reconcile(Scope())[1]
    assert TAMPERINGS[statement] in {finding.check for finding in findings}
    assert {finding.user_id for finding in findings} == {user.pk}
    assert reconcile(Scope(user_id=user.pk))[1] == findings


def test_every_check_finds_a_tampering_or_the_database_prevents_it():
    found = {check.name for check in RELOAD_CHECKS} - set(TAMPERINGS.values())

    assert found == {"one_reload_at_a_time"}  # a unique index prevents it: see below


def test_the_database_allows_one_open_auto_reload_payment():
    user = low(50, cards.ANSWER_LOST)
    run_all()
    (payment,) = reloads(user)
    payment.pk, payment.provider_key = None, "00000000-0000-0000-0000-000000000001"
    payment.idempotency_key = "another"

    with pytest.raises(IntegrityError, match="one_reload_is_pending"):
        payment.save(force_insert=True)


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda user: AutoReload.objects.filter(pk=user.pk).update(enabled=True, off_reason=None),
        lambda user: AutoReload.objects.filter(pk=user.pk).delete(),
        lambda user: AutoReloadEvent.objects.filter(user=user).update(sentence="x"),
        lambda user: AutoReloadEvent.objects.filter(user=user).delete(),
        lambda user: Payment.objects.filter(user=user).update(kind="top_up"),
    ],
)
def test_the_database_refuses_to_turn_it_on_or_to_alter_its_history(forbidden):
    user = low(50)
    run_all()
    change(user, enabled=False)

    with pytest.raises((IntegrityError, InternalError, ProgrammingError)), transaction.atomic():
        forbidden(user)
    assert not reload_of(user).enabled


@pytest.mark.parametrize(
    "missing", ["threshold", "amount", "monthly_cap_minor", "method", "consented_at", "sentence", "price_minor"]
)
def test_the_database_refuses_auto_reload_without_terms_and_consent(missing):
    user = low(50)

    with pytest.raises(IntegrityError, match="reload_that_is_on_was_agreed_to"), transaction.atomic():
        AutoReload.objects.filter(pk=user.pk).update(**{missing: None})


def test_a_payment_is_credited_though_auto_reload_was_turned_off_meanwhile():
    user = low(50, cards.AUTHENTICATE)
    run_all()
    change(user, enabled=False)
    (payment,) = reloads(user)
    fake().pay(payment.provider_key)

    assert settle_payment(payment_id=payment.pk, now=NOON).state == PaymentState.SUCCEEDED
    assert not reload_of(user).enabled
    assert reconcile(Scope())[1] == []
