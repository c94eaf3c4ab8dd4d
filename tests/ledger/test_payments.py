"""Buying credits: the state of a payment for everything that a provider does."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.core import mail
from django.db import IntegrityError, ProgrammingError, connection
from django.utils import timezone

from accounts.services.notices import send_notice_emails
from config.rounds import Round
from ledger import errors
from ledger.models import Entry, PaymentMethod, PaymentOutcome, PaymentState
from ledger.providers import fake as cards
from ledger.services.auto_reload import buying
from ledger.services.payments import top_ups
from ledger.services.payments.cards import remove_card
from ledger.services.payments.reversals import note_single_refund
from ledger.services.payments.settling import record_answer
from tests.ledger.paying import bought, buy, entries_of, fake, package, paid_answer, purchases, settled
from tests.ledger.posting import post
from tests.ledger.reloading import NOON, low, reloads, run_all

pytestmark = pytest.mark.django_db
EXPECTED = {
    cards.APPROVE: PaymentState.SUCCEEDED,
    cards.DECLINE: PaymentState.FAILED,
    cards.AUTHENTICATE: PaymentState.REQUIRES_ACTION,
    cards.TIME_OUT: PaymentState.PENDING,
    cards.ANSWER_LOST: PaymentState.PENDING,
    None: PaymentState.REQUIRES_ACTION,
}


@pytest.mark.parametrize("method_id", EXPECTED)
def test_a_payment_gets_the_state_that_the_provider_reports(bob, method_id):
    payment = bought(bob, method_id)

    assert payment.state == EXPECTED[method_id]
    assert purchases(bob) == ([Decimal(1000)] if payment.state == PaymentState.SUCCEEDED else [])


def test_a_payment_that_succeeds_is_one_entry_that_names_it(bob):
    payment = bought(bob, cards.APPROVE)

    (entry,) = entries_of(payment)
    assert (entry.type, entry.reason, entry.idempotency_key) == ("credit", "purchase", str(payment.pk))
    assert entry.reference == f"payment-{payment.pk}"
    assert entry.metadata == {"payment_id": payment.pk, "paid": "12.50", "currency": "USD"}
    assert payment.entry_id == entry.pk


def test_a_declined_card_is_reported_and_costs_nothing(bob):
    payment = bought(bob, cards.DECLINE)

    assert (payment.failure_code, payment.failure_message) == ("card_declined", "Your card was declined.")
    assert Entry.objects.filter(user=bob).count() == 0
    assert settled(payment).state == PaymentState.FAILED


def test_a_first_purchase_leads_to_the_providers_page_and_saves_the_card(bob):
    payment = bought(bob)
    assert payment.action_url
    assert payment.checkout_id

    paid = settled(payment)

    assert paid.state == PaymentState.SUCCEEDED
    assert paid.action_url is None
    assert list(PaymentMethod.objects.filter(user=bob).values_list("last4", flat=True)) == ["4242"]


def test_an_unpaid_page_expires(bob):
    payment = bought(bob)
    fake().give_up(payment.provider_key)

    assert settled(payment).state == PaymentState.EXPIRED
    assert purchases(bob) == []


def test_a_card_that_wants_authentication_waits_for_its_customer(bob):
    payment = bought(bob, cards.AUTHENTICATE)
    assert settled(payment).state == PaymentState.REQUIRES_ACTION

    fake().pay(payment.provider_key)

    assert settled(payment).state == PaymentState.SUCCEEDED
    assert purchases(bob) == [Decimal(1000)]


def test_authentication_that_never_comes_is_cancelled_after_a_day(bob):
    payment = bought(bob, cards.AUTHENTICATE)

    assert settled(payment, after=dt.timedelta(hours=25)).state == PaymentState.EXPIRED


def test_a_payment_that_never_arrived_fails_and_says_that_nothing_was_charged(bob):
    payment = settled(bought(bob, cards.TIME_OUT))

    assert (payment.state, payment.failure_code) == (PaymentState.FAILED, "never_sent")
    assert purchases(bob) == []


def test_a_charge_whose_answer_was_lost_is_found_and_credited(bob):
    payment = bought(bob, cards.ANSWER_LOST)

    assert settled(payment).state == PaymentState.SUCCEEDED
    assert purchases(bob) == [Decimal(1000)]
    assert fake().charges.count(payment.provider_key) == 1


def test_a_call_that_may_still_arrive_is_not_failed(bob):
    payment = bought(bob, cards.TIME_OUT)

    assert settled(payment, after=dt.timedelta(seconds=30)).state == PaymentState.PENDING


@pytest.mark.parametrize("method_id", EXPECTED)
def test_repeating_a_purchase_with_its_key_returns_the_first_without_a_provider_call(bob, method_id):
    first = buy(bob, method_id, key="one")

    again = buy(bob, method_id, key="one")

    assert (first.is_replay, again.is_replay) == (False, True)
    assert again.payment.pk == first.payment.pk
    assert fake().charges.count(first.payment.provider_key) <= 1


def test_another_purchase_under_the_same_key_is_refused(bob):
    buy(bob, cards.APPROVE, key="one")

    with pytest.raises(errors.IdempotencyKeyReused):
        buy(bob, cards.DECLINE, key="one")


def test_keys_belong_to_the_customer(bob, alice):
    assert buy(bob, key="one").payment.pk != buy(alice, key="one").payment.pk


def test_the_terms_are_those_of_the_package_at_purchase(bob):
    payment = bought(bob, cards.ANSWER_LOST)
    sold = package()
    sold.credits, sold.name, sold.is_active = Decimal(5), "Other", False
    sold.save()

    settled(payment)

    assert purchases(bob) == [Decimal(1000)]
    with pytest.raises(errors.PackageNotFound):
        buy(bob, cards.APPROVE)


def test_a_removed_card_and_another_customers_card_are_not_found(bob, alice):
    payment = bought(bob, cards.APPROVE)
    remove_card(user_id=bob.pk, payment_method_id=payment.method_id, now=timezone.now())

    for user in (bob, alice):
        with pytest.raises(errors.PaymentMethodNotFound):
            remove_card(user_id=user.pk, payment_method_id=payment.method_id, now=timezone.now())
    with pytest.raises(errors.PaymentMethodNotFound):
        buy(bob, cards.APPROVE)


def test_credits_that_the_balance_could_not_take_are_not_sold(bob):
    post(bob, "999999000")

    with pytest.raises(errors.BalanceLimitExceeded):
        buy(bob, cards.APPROVE)


def test_no_payment_is_begun_without_a_provider(bob, settings):
    settings.PAYMENT_PROVIDER = "none"

    with pytest.raises(errors.PaymentsOff):
        buy(bob, cards.APPROVE)


@pytest.mark.parametrize(
    "said", [{"amount_minor": 1}, {"currency": "EUR"}, {"customer_id": "x"}, {"customer_id": None}]
)
def test_money_for_something_else_is_not_credited_and_is_noted(bob, said):
    payment = bought(bob, cards.AUTHENTICATE)

    with pytest.raises(errors.PaymentMismatch):
        record_answer(payment_id=payment.pk, answer=paid_answer(payment, **said), source="webhook", now=timezone.now())

    assert purchases(bob) == []
    assert PaymentOutcome.objects.filter(payment=payment, outcome="mismatch").count() == 1


def test_one_provider_id_belongs_to_one_payment(bob):
    first, second = bought(bob, cards.APPROVE), bought(bob, cards.AUTHENTICATE)
    answer = paid_answer(second, provider_payment_id=first.provider_payment_id)
    type(second).objects.filter(pk=second.pk).update(provider_payment_id=None)

    with pytest.raises(errors.PaymentMismatch):
        record_answer(payment_id=second.pk, answer=answer, source="webhook", now=timezone.now())

    assert purchases(bob) == [Decimal(1000)]


def test_a_payment_failed_or_expired_here_but_paid_at_the_provider_is_credited(bob):
    for method_id in (cards.TIME_OUT, cards.DECLINE):
        payment = settled(bought(bob, method_id))
        assert payment.state == PaymentState.FAILED

        late = record_answer(payment_id=payment.pk, answer=paid_answer(payment), source="webhook", now=timezone.now())

        assert (late.state, late.failure_code) == (PaymentState.SUCCEEDED, None)
    assert purchases(bob) == [Decimal(1000)] * 2


def test_a_receipt_is_due_with_the_credit_and_sent_once(bob):
    payment = bought(bob, cards.APPROVE)
    settled(payment)
    assert mail.outbox == []

    assert [send_notice_emails(Round(), now=timezone.now(), most=10) for _ in range(2)] == [1, 0]

    (sent,) = mail.outbox
    assert sent.to == [bob.email]
    for part in ("Small", "1,000", "12.50 USD", str(payment.pk)):
        assert part in sent.body


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger_payment",
        "UPDATE ledger_payment SET amount_minor = 1",
        "UPDATE ledger_payment SET credits = 1",
        "UPDATE ledger_payment SET state = 'failed', entry_id = NULL",
        "DELETE FROM ledger_paymentdispute",
        "DELETE FROM ledger_paymentrefund",
        "UPDATE ledger_payment SET refunded_said_minor = -1",
        "UPDATE ledger_paymentrefund SET has_failed = false",
        "UPDATE ledger_paymentrefund SET amount_minor = 1",
        "UPDATE ledger_paymentrefund SET provider_refund_id = 'x'",
        "UPDATE ledger_paymentoutcome SET detail = ''",
        "DELETE FROM ledger_paymentoutcome",
    ],
)
def test_the_database_keeps_paid_payments_and_noted_reversals(bob, statement):
    payment = bought(bob, cards.APPROVE)
    note_single_refund(
        payment_id=payment.pk, provider_refund_id="re_1", amount_minor=5, has_failed=True, now=timezone.now()
    )

    with pytest.raises((ProgrammingError, IntegrityError), match=r"refused|denied"), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("begin", ["top-up", "auto-reload"])
def test_the_age_of_a_payment_counts_from_its_own_provider_call(alice, monkeypatch, begin):
    clock = iter([0.0, 130.9, 130.9])  # registering the customer took that long
    monkeypatch.setattr(top_ups, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(buying, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    now = NOON
    if begin == "top-up":
        payment = bought(alice, cards.TIME_OUT, now=now)
    else:
        user = low(50, cards.TIME_OUT)
        assert run_all(now) == ["pending"]
        payment = reloads(user)[0]

    asked = settled(payment, after=dt.timedelta(seconds=119))

    assert payment.created_at == payment.asked_at == now + dt.timedelta(seconds=130)
    assert asked.state == PaymentState.PENDING  # the call began two minutes ago and may still be under way
    assert settled(payment, after=dt.timedelta(seconds=121)).failure_code == "never_sent"
