"""Settling: recording the provider's answers as a payment's state, and crediting a paid one exactly once."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction

from config.values.money import in_major_units
from ledger import errors
from ledger.models import (
    OPEN_STATES,
    EntryReason,
    EntryType,
    OutcomeSource,
    Payment,
    PaymentKind,
    PaymentOutcome,
    PaymentState,
)
from ledger.providers.base import Answer, NoAnswer, Order, Provider, Refused
from ledger.providers.registry import provider_named
from ledger.providers.turns import turn
from ledger.services.agreement.locking import lock_balance
from ledger.services.agreement.outcomes import NEVER_SENT, note_change, note_success
from ledger.services.entries import post_entry
from ledger.services.payments.cards import remember_card
from ledger.services.payments.notices import notify_top_up_failed, notify_top_up_succeeded
from ledger.services.payments.reversals import settle_reversals
from ledger.services.receipts import purchase_description

OPERATION = "payment"
CALL_MAY_TAKE = dt.timedelta(minutes=2)
"""The longest that a call to a provider takes. A payment that it does not know after that was never received."""

logger = logging.getLogger(__name__)


def order_of(payment: Payment) -> Order:
    """Return the order that a payment is at its provider."""
    return Order(
        key=payment.provider_key,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        description=purchase_description(payment),
        customer_id=payment.provider_customer_id,
        method_id=payment.method.provider_method_id if payment.method is not None else None,
        provider_payment_id=payment.provider_payment_id,
        checkout_id=payment.checkout_id,
        is_customer_away=payment.kind == PaymentKind.AUTO_RELOAD,
    )


class Asked(NamedTuple):
    """A payment as it is after the provider was asked about it, and whether it answered."""

    payment: Payment
    was_answered: bool


def settle_payment(*, payment_id: int, now: dt.datetime) -> Payment:
    """Ask the provider about a payment and record the answer, as `ask_about` does; return the resulting payment.

    :raises PaymentNotFound, PaymentsOff, PaymentProviderBusy, PaymentMismatch: as `ask_about`
    """
    return ask_about(payment_id=payment_id, now=now).payment


def ask_about(*, payment_id: int, now: dt.datetime) -> Asked:
    """Ask the provider about a payment, and record the answer.

    Asking charges nothing. A payment that the provider never received has failed (or expired, if it was to be paid on
    the provider's page); one that still waits for the customer after its time is canceled. Repeating it does nothing.

    :raises PaymentNotFound: if there is no such payment
    :raises PaymentsOff: if its provider is no longer configured
    :raises PaymentProviderBusy: in a request, while too many others ask it
    :raises PaymentMismatch: if amount, currency or customer differ
    """
    payment = Payment.objects.select_related("package", "method").filter(pk=payment_id).first()
    if payment is None:
        raise errors.PaymentNotFound
    provider, order = provider_named(payment.provider), order_of(payment)
    with turn():
        return _ask_about(payment, order, provider, now)


def _ask_about(payment: Payment, order: Order, provider: Provider, now: dt.datetime) -> Asked:
    payment_id = payment.pk
    Payment.objects.filter(pk=payment_id).update(asked_at=now)
    try:
        answer = provider.look_up(order)
        if answer is None:
            if payment.created_at > now - CALL_MAY_TAKE:
                return Asked(payment, was_answered=True)  # the call may still be under way
            answer = _never_sent(payment)
        elif answer.state == PaymentState.REQUIRES_ACTION and payment.expires_at <= now:
            found = replace(
                order,
                provider_payment_id=order.provider_payment_id or answer.provider_payment_id,
                checkout_id=order.checkout_id or answer.checkout_id,
            )
            answer = provider.cancel(found)
    except (NoAnswer, Refused) as silence:
        note_outcome(payment_id, OutcomeSource.SETTLING, "no_answer", str(silence))
        return Asked(payment, was_answered=isinstance(silence, Refused))
    settled = record_answer(payment_id=payment_id, answer=answer, source=OutcomeSource.SETTLING, now=now)
    return Asked(settled, was_answered=True)


def record_answer(*, payment_id: int, answer: Answer, source: OutcomeSource, now: dt.datetime) -> Payment:
    """Record the state of a payment at the provider; return the resulting payment.

    A success is credited whatever was recorded before, and stays whatever is recorded later: in any order, any number
    of times, from any number of concurrent callers, there is one entry.

    :raises PaymentMismatch: if amount, currency or customer differ; nothing is credited then
    :raises BalanceLimitExceeded: if the balance cannot take the credits
    :raises PaymentProviderAway: if a webhook names a card that cannot be looked up now; all else is recorded
    """
    payment = Payment.objects.select_related("method").get(pk=payment_id)
    _refuse_mismatch(payment, answer, source)
    try:
        if answer.state == PaymentState.SUCCEEDED:
            _credit(payment, answer, source, now)
        else:
            _note_state(payment, answer, source, now)
    except IntegrityError as error:  # the provider's ids belong to another payment
        note_outcome(payment_id, source, "mismatch", str(error).splitlines()[0])
        raise errors.PaymentMismatch("payment id") from error
    if answer.state == PaymentState.SUCCEEDED and payment.method_id is None and answer.method_id is not None:
        # Of several webhooks about a success, only one may name the card that was saved with it.
        Payment.objects.filter(pk=payment_id, paid_with__isnull=True).update(paid_with=answer.method_id)
        _keep_card(payment, answer.method_id, source)
    return Payment.objects.select_related("package", "method").get(pk=payment_id)


def _keep_card(payment: Payment, method_id: str, source: OutcomeSource) -> None:
    """Store the card that a payment saved. This does not delay the credits; the webhook is sent again instead."""
    try:
        remember_card(user_id=payment.user_id, provider_name=payment.provider, method_id=method_id)
    except errors.PaymentProviderAway:
        if source == OutcomeSource.WEBHOOK:
            raise
        logger.warning("The card that payment %s has saved is not known yet: its webhook will name it.", payment.pk)


def note_outcome(payment_id: int, source: OutcomeSource, outcome: str, detail: str) -> None:
    PaymentOutcome.objects.create(payment_id=payment_id, source=source, outcome=outcome, detail=detail)


def _refuse_mismatch(payment: Payment, answer: Answer, source: OutcomeSource) -> None:
    ours: dict[str, Any] = {
        "amount": (answer.amount_minor, payment.amount_minor),
        "currency": (answer.currency, payment.currency),
        "customer": (answer.customer_id, payment.provider_customer_id),
    }
    for what, (actual, expected) in ours.items():
        # A paid answer has to name all three; others may omit them.
        if actual != expected and (actual is not None or answer.state == PaymentState.SUCCEEDED):
            note_outcome(payment.pk, source, "mismatch", f"{what}: {actual} instead of {expected}")
            logger.error("Payment %s: the provider's %s is %s, not %s.", payment.pk, what, actual, expected)
            raise errors.PaymentMismatch(what)


@transaction.atomic
def _credit(payment: Payment, answer: Answer, source: OutcomeSource, now: dt.datetime) -> None:
    """Post the entry, mark the payment and write the receipt's notice in one transaction; repeating it does nothing.

    The entry first: it locks the balance, which every rule locks before anything else. Its key is the payment's id, so
    the database itself prevents a second one.
    """
    paid = in_major_units(payment.amount_minor, payment.currency)
    is_reload = payment.kind == PaymentKind.AUTO_RELOAD
    posted = post_entry(
        user_id=payment.user_id,
        type=EntryType.CREDIT,
        reason=EntryReason.AUTO_RELOAD if is_reload else EntryReason.PURCHASE,
        amount=payment.credits,
        description="Credits purchased by auto-reload" if is_reload else "Credits purchased",
        reference=f"payment-{payment.pk}",
        metadata={"payment_id": payment.pk, "paid": f"{paid:f}", "currency": payment.currency},
        operation=OPERATION,
        idempotency_key=str(payment.pk),
    )
    changed = (
        Payment.objects.filter(pk=payment.pk)
        .exclude(state=PaymentState.SUCCEEDED)
        .update(
            state=PaymentState.SUCCEEDED,
            entry=posted.entry,
            settled_at=now,
            action_url=None,
            client_secret=None,
            failure_code=None,
            failure_message=None,
            paid_with=answer.method_id if payment.method is None else payment.method.provider_method_id,
            **_names(payment, answer),
        )
    )
    if not changed:
        return
    note_outcome(payment.pk, source, PaymentState.SUCCEEDED, "")
    if is_reload:
        note_success(payment, now=now)
    else:
        notify_top_up_succeeded(payment, now=now)
    settle_reversals(payment_id=payment.pk)  # a refund may have been reported first


@transaction.atomic
def _note_state(payment: Payment, answer: Answer, source: OutcomeSource, now: dt.datetime) -> None:
    """Change the state of an open payment; a payment that has ended keeps its state."""
    if payment.kind == PaymentKind.AUTO_RELOAD:
        lock_balance(user_id=payment.user_id)  # before anything else, since the outcome may turn auto-reload off
    state = answer.state
    if state == PaymentState.FAILED and payment.method_id is None and answer.provider_payment_id is not None:
        state = PaymentState(payment.state)  # on the provider's page the customer may try another card
    is_open = state in OPEN_STATES
    rows = Payment.objects.select_for_update(no_key=True).filter(pk=payment.pk, state__in=OPEN_STATES)
    before = rows.first()
    if before is None:
        return
    rows.update(
        state=state,
        action_url=answer.action_url or before.action_url if is_open else None,
        client_secret=answer.client_secret or before.client_secret if is_open else None,
        failure_code=answer.failure_code,
        failure_message=answer.failure_message,
        settled_at=None if is_open else now,
        **_names(before, answer),
    )
    if before.state != state or answer.state == PaymentState.FAILED:
        note_outcome(payment.pk, source, answer.state, answer.failure_message or "")
    if before.state != state and payment.kind == PaymentKind.AUTO_RELOAD:
        note_change(before, PaymentState(state), answer, now=now)
    elif before.state != state == PaymentState.FAILED:
        notify_top_up_failed(payment, code=answer.failure_code, why=answer.failure_message, now=now)


def _names(payment: Payment, answer: Answer) -> dict[str, str | None]:
    """Return the provider's ids of a payment: once known, they stay."""
    return {
        "provider_payment_id": payment.provider_payment_id or answer.provider_payment_id,
        "checkout_id": payment.checkout_id or answer.checkout_id,
    }


def _never_sent(payment: Payment) -> Answer:
    state = PaymentState.EXPIRED if payment.method_id is None else PaymentState.FAILED
    message = "The payment never reached the provider: nothing was charged."
    return Answer(state, failure_code=NEVER_SENT, failure_message=message)
