"""Refunds that fail after they were made: the money is ours again, and the credits are the customer's again."""

from __future__ import annotations

import itertools

import pytest
from django.utils import timezone

from ledger.models import Payment
from ledger.providers import fake as cards
from ledger.services.payments.reversals import note_refund, note_single_refund
from ledger.services.payments.rounds import reversals_due
from tests.ledger.paying import bought, purchases
from tests.ledger.posting import post
from tests.ledger.reloading import low, reload_of, reloads, run_all
from tests.ledger.test_stripe_webhook import SECRETS, event, intent, payment, refunded, send  # noqa: F401  a fixture
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _secrets(settings):
    settings.STRIPE_WEBHOOK_SECRETS = list(SECRETS)


@pytest.fixture(autouse=True)
def _books_are_in_order(db):
    yield
    assert reconcile(Scope())[1] == []
    assert reversals_due() == []


def refund(status, name="re_1", kind="refund.updated", minor=1250):
    usual = {"id": name, "object": "refund", "payment_intent": "pi_1", "charge": "ch_1", "currency": "usd"}
    return event(kind, **usual, amount=minor, status=status, metadata={})


def deliver(payment, *news):  # noqa: F811
    send(intent(payment))
    for message in news:
        answer = send(message)
        assert (answer.status_code, answer.json()["applied"]) == (200, True), answer.json()


@pytest.mark.parametrize("kind", ["refund.failed", "refund.updated", "charge.refund.updated"])
@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_the_credits_come_back_when_a_refund_fails(payment, bob, kind, status):  # noqa: F811
    deliver(payment, refunded(1250), refund(status, kind=kind))

    assert purchases(bob) == [1000, -1000, 1000]
    payment.refresh_from_db()
    assert payment.refunded_minor == 0


MESSAGES = (refunded(1250), refund("pending", kind="refund.created"), refund("succeeded"), refund("failed"))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=lambda order: "".join(map(str, order)))
def test_a_failed_refund_gives_back_credits_in_any_order_of_messages(payment, bob, order):  # noqa: F811
    deliver(payment, *(MESSAGES[place] for place in order), MESSAGES[order[0]])

    assert sum(purchases(bob)) == 1000


def test_a_refund_made_after_one_that_failed_takes_its_credits(payment, bob):  # noqa: F811
    deliver(
        payment, refunded(1250), refund("succeeded"), refund("failed"),
        refund("succeeded", "re_2", minor=625), refunded(625),
    )  # fmt: skip

    assert purchases(bob) == [1000, -1000, 1000, -500]


def test_one_of_two_refunds_may_fail(payment, bob):  # noqa: F811
    first, second = refund("succeeded", "re_1", minor=250), refund("succeeded", "re_2", minor=500)
    deliver(payment, refunded(250), first, refunded(750), second, refund("failed", "re_1", minor=250))

    assert sum(purchases(bob)) == 600


def test_messages_about_single_refunds_are_enough(payment, bob):  # noqa: F811
    deliver(payment, refund("succeeded", "re_1", minor=625), refund("succeeded", "re_2", minor=125))

    assert sum(purchases(bob)) == 400


def test_a_refund_in_another_currency_or_state_is_an_error(payment, bob):  # noqa: F811
    deliver(payment)

    other = send(event("refund.failed", id="re_1", payment_intent="pi_1", amount=1, currency="eur", status="failed"))
    unknown = send(refund("lost in the post"))

    assert (other.status_code, other.json()["code"]) == (409, "payment_mismatch")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "webhook_not_understood")
    assert purchases(bob) == [1000]


def test_a_failed_refund_cancels_the_customers_debt(bob):
    paid = bought(bob, cards.APPROVE)
    post(bob, -1000)
    note_refund(payment_id=paid.pk, refunded_minor=1250, now=timezone.now())
    assert Payment.objects.get(pk=paid.pk).credits_owed == 1000

    fail(paid)

    assert Payment.objects.get(pk=paid.pk).credits_owed == 0
    assert purchases(bob) == [1000]


def test_auto_reload_stays_off_after_a_failed_refund():
    user = low(50)
    run_all()
    (paid,) = reloads(user)
    note_refund(payment_id=paid.pk, refunded_minor=paid.amount_minor, now=timezone.now())

    fail(paid)

    assert not reload_of(user).enabled


def fail(paid):
    note_single_refund(
        payment_id=paid.pk, provider_refund_id="re_1", amount_minor=paid.amount_minor, has_failed=True,
        now=timezone.now(),
    )  # fmt: skip
