"""Top-ups: customers buy credits. The payment is committed before the provider is asked."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction

from config.values.credits import LARGEST
from config.values.money import in_major_units
from ledger import errors
from ledger.models import OutcomeSource, Payment, PaymentState, TopUpPackage
from ledger.providers.base import Answer, NoAnswer, Provider, Refused
from ledger.providers.registry import chosen_provider
from ledger.providers.turns import turn
from ledger.selectors import balance_of
from ledger.services.agreement.locking import lock_balance
from ledger.services.idempotency import fingerprint
from ledger.services.payments.cards import customer_at, is_disputed, saved_card
from ledger.services.payments.limits import refuse_too_many_tries
from ledger.services.payments.settling import note_outcome, order_of, record_answer

TIME_TO_ACT = dt.timedelta(hours=24)  # as long as Stripe keeps a checkout open


@dataclass(frozen=True)
class Expected:
    """What the buyer was shown: credits, and the price in whole units of the currency; None if it is not given."""

    credits: Decimal | None = None
    price: Decimal | None = None
    currency: str | None = None


UNSPECIFIED = Expected()


class Started(NamedTuple):
    """A payment as it is now, and whether an earlier call with the same key began it."""

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
    expected: Expected = UNSPECIFIED,
) -> Started:
    """Buy a package: charge a saved card at once, or else open a page on which the customer pays.

    A payment that fails, or whose outcome is unknown, is returned in that state: only refusals before anything was
    written are raised. Repeating the call with its key returns the payment of the first call, and does not call the
    provider.

    :raises IdempotencyKeyReused: if the key was used for another purchase
    :raises PaymentsOff, PaymentProviderAway, PaymentProviderBusy: if no payment can be begun
    :raises PackageNotFound, PaymentMethodNotFound: if there is no such thing (of this customer)
    :raises PackageChanged: if the package is not what is `expected`
    :raises CardDisputed: if a payment by that card is disputed
    :raises TooManyTopUps: after too many unsuccessful ones within an hour
    :raises BalanceLimitExceeded: if the balance could not take the credits
    """
    began = time.monotonic()
    given = {name: value for name, value in asdict(expected).items() if value is not None}
    asked = fingerprint({"package": package_code, "payment_method": payment_method_id, **given})
    known = _made_before(user_id, idempotency_key, asked)
    if known is not None:
        return Started(known, is_replay=True)
    with turn():
        provider = chosen_provider()
        intent = _intent(user_id, email, _package(package_code, expected), payment_method_id, provider)
        intent.idempotency_key, intent.fingerprint = idempotency_key, asked
        twin = _write(intent, now, began)
        if twin is not None:
            return Started(twin, is_replay=True)
        return Started(ask_provider(intent, provider, intent.created_at), is_replay=False)


def _package(code: str, expected: Expected) -> TopUpPackage:
    package = TopUpPackage.objects.filter(code=code, is_active=True).first()
    if package is None:
        raise errors.PackageNotFound
    is_now = Expected(package.credits, in_major_units(package.price_minor, package.currency), package.currency)
    for name, value in asdict(expected).items():
        if value is not None and value != getattr(is_now, name):
            raise errors.PackageChanged(**asdict(is_now))
    return package


def _intent(
    user_id: int, email: str, package: TopUpPackage, payment_method_id: int | None, provider: Provider
) -> Payment:
    """Build a payment without key and times; create the customer at the provider if needed."""
    method = None
    if payment_method_id is not None:
        method = saved_card(user_id=user_id, payment_method_id=payment_method_id, provider_name=provider.name)
    if balance_of(user_id=user_id).balance + package.credits > LARGEST:
        raise errors.BalanceLimitExceeded
    return Payment(
        user_id=user_id,
        package=package,
        method=method,
        credits=package.credits,
        amount_minor=package.price_minor,
        currency=package.currency,
        provider=provider.name,
        provider_key=uuid.uuid4(),
        provider_customer_id=customer_at(provider=provider, user_id=user_id, email=email),
    )


@transaction.atomic(durable=True)
def _write(intent: Payment, now: dt.datetime, began: float) -> Payment | None:
    """Write a payment, unless an earlier call with its key did; return that earlier one.

    The balance is locked, so what is checked here holds until the payment is committed.
    """
    lock_balance(user_id=intent.user_id)
    now += time_since(began)
    intent.created_at = intent.asked_at = now
    intent.expires_at = now + TIME_TO_ACT
    twin = _made_before(intent.user_id, intent.idempotency_key, bytes(intent.fingerprint))
    if twin is None:
        if intent.method is not None and is_disputed(intent.method):
            raise errors.CardDisputed
        refuse_too_many_tries(user_id=intent.user_id, now=now)
        intent.save(force_insert=True)
    return twin


def time_since(began: float) -> dt.timedelta:
    """Return the whole seconds since a time of the monotonic clock.

    A payment begins when it is written, after the customer was created and the balance locked. Otherwise a slow call
    before that could make it look like one that was never sent.
    """
    return dt.timedelta(seconds=int(time.monotonic() - began))


def ask_provider(payment: Payment, provider: Provider, now: dt.datetime) -> Payment:
    """Ask the provider once for a committed payment; without an answer it stays pending, for `settle_payments`."""
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
        return payment  # recorded and logged; it stays open until staff have looked


def _made_before(user_id: int, idempotency_key: str, asked: bytes) -> Payment | None:
    payments = Payment.objects.of(user_id).select_related("package", "method")
    payment = payments.filter(idempotency_key=idempotency_key).first()
    if payment is not None and bytes(payment.fingerprint) != asked:
        raise errors.IdempotencyKeyReused
    return payment
