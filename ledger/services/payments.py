"""Payments: customers buy credits. The intent is written and committed before the provider is asked."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import NamedTuple

from django.db import transaction

from config.http.numbers import LARGEST
from ledger import errors
from ledger.models import OutcomeSource, Payment, PaymentMethod, PaymentState, TopUpPackage
from ledger.providers.base import Answer, NoAnswer, Provider, Refused
from ledger.providers.registry import chosen_provider
from ledger.providers.turns import turn
from ledger.selectors import balance_of
from ledger.services.cards import customer_at, is_disputed
from ledger.services.idempotency import fingerprint
from ledger.services.reload_switching import hold_balance
from ledger.services.settling import note_outcome, order_of, record_answer

TIME_TO_ACT = dt.timedelta(hours=24)  # as long as Stripe keeps a checkout open


class Started(NamedTuple):
    """A payment as it is now, and whether this very call began it or an earlier one with the same key."""

    payment: Payment
    is_replay: bool


def start_top_up(
    *,
    user_id: int,
    email: str,
    package_code: str,
    payment_method_id: int | None,
    idempotency_key: str,
    now: dt.datetime,
) -> Started:
    """Buy a package: charge a saved card at once, or else open a page on which the customer pays.

    A payment that fails, or of which nobody knows what became of it, is answered all the same, in that state: only
    what was refused before anything was written is raised. Repeating the call with its key answers with the payment
    begun then, and asks the provider nothing.

    :raises IdempotencyKeyReused: if the key was used for another purchase
    :raises PaymentsOff, PaymentProviderAway, PaymentProviderBusy: if no payment can be begun
    :raises PackageNotFound, PaymentMethodNotFound: if there is no such thing (of this customer)
    :raises CardDisputed: if a payment by that card is disputed
    :raises BalanceLimitExceeded: if the balance could not take the credits
    """
    asked = fingerprint({"package": package_code, "payment_method": payment_method_id})
    known = _made_before(user_id, idempotency_key, asked)
    if known is not None:
        return Started(known, is_replay=True)
    with turn():
        return _start(user_id, email, package_code, payment_method_id, (idempotency_key, asked), now)


def _start(
    user_id: int,
    email: str,
    package_code: str,
    payment_method_id: int | None,
    named: tuple[str, bytes],
    now: dt.datetime,
) -> Started:
    """Begin a payment under a key, with its fingerprint, that is new; the caller has a turn with the provider."""
    idempotency_key, asked = named
    provider = chosen_provider()
    package = TopUpPackage.objects.filter(code=package_code, is_active=True).first()
    if package is None:
        raise errors.PackageNotFound
    method = None if payment_method_id is None else _card_of(user_id, payment_method_id, provider)
    if balance_of(user_id=user_id).balance + package.credits > LARGEST:
        raise errors.BalanceLimitExceeded
    customer_id = customer_at(provider=provider, user_id=user_id, email=email)
    intent = Payment(
        user_id=user_id,
        package=package,
        method=method,
        credits=package.credits,
        amount_minor=package.price_minor,
        currency=package.currency,
        provider=provider.name,
        provider_key=uuid.uuid4(),
        provider_customer_id=customer_id,
        idempotency_key=idempotency_key,
        fingerprint=asked,
        created_at=now,
        asked_at=now,
        expires_at=now + TIME_TO_ACT,
    )
    twin = _write(intent)
    if twin is not None:
        return Started(twin, is_replay=True)
    return Started(ask_provider(intent, provider, now), is_replay=False)


@transaction.atomic(durable=True)
def _write(intent: Payment) -> Payment | None:
    """Write a payment that may be begun, and nothing if a twin has; returns the twin.

    The balance is held meanwhile: what is looked at here stays so until the payment stands.
    """
    hold_balance(user_id=intent.user_id)
    twin = _made_before(intent.user_id, intent.idempotency_key, bytes(intent.fingerprint))
    if twin is None:
        if intent.method is not None and is_disputed(intent.method):
            raise errors.CardDisputed
        intent.save(force_insert=True)
    return twin


def ask_provider(payment: Payment, provider: Provider, now: dt.datetime) -> Payment:
    """Ask the provider for a payment that is committed, once; silence leaves it pending, for `settle_payments`."""
    order = order_of(payment)
    try:
        answer = provider.start_checkout(order) if order.method_id is None else provider.charge(order)
    except NoAnswer as silence:
        note_outcome(payment.pk, OutcomeSource.ANSWER, "no_answer", str(silence))
        return payment
    except Refused as refusal:
        answer = Answer(PaymentState.FAILED, failure_code=refusal.code, failure_message=str(refusal))
    try:
        return record_answer(payment_id=payment.pk, answer=answer, source=OutcomeSource.ANSWER, now=now)
    except (errors.PaymentMismatch, errors.BalanceLimitExceeded):
        return payment  # noted and logged; it stays in doubt until somebody has looked


def _made_before(user_id: int, idempotency_key: str, asked: bytes) -> Payment | None:
    payments = Payment.objects.of(user_id).select_related("package", "method")
    payment = payments.filter(idempotency_key=idempotency_key).first()
    if payment is not None and bytes(payment.fingerprint) != asked:
        raise errors.IdempotencyKeyReused
    return payment


def _card_of(user_id: int, payment_method_id: int, provider: Provider) -> PaymentMethod:
    cards = PaymentMethod.objects.filter(user_id=user_id, provider=provider.name, removed_at__isnull=True)
    card = cards.filter(pk=payment_method_id).first()
    if card is None:
        raise errors.PaymentMethodNotFound
    return card
