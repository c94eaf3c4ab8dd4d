"""Charging: one request is priced, paid, logged and counted in one round trip."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection

from config.values.paths import normal_endpoint
from ledger.errors import IdempotencyKeyReused
from ledger.models import Entry, OperationKey
from ledger.selectors import balance_of, our_metadata
from ledger.services.entries import refusal_of
from usage import errors
from usage.services.charges.batching import Batcher
from usage.services.charges.calls import AskedCharge, charge_one, charge_together
from usage.services.customers import raise_customer_refusal
from usage.standings import budget_of, rate_limited


@dataclass(frozen=True)
class Charge:
    """One paid (or free) request. `available` and, for a replay, nothing else, describes the present."""

    id: int
    user_id: int
    credits: Decimal
    balance_after: Decimal
    available: Decimal
    entry_id: int | None
    request_id: uuid.UUID
    is_replay: bool


def charge_request(asked: AskedCharge) -> Charge:
    """Charge a customer for one request.

    `credits` (positive) overrides the price; otherwise the price of the endpoint in force applies, times
    `units`. A failed request costs nothing unless its price says so or `credits` is given; 401, 402 and 429 never
    cost, nor do they count among the calls a minute of a key, nor does a charge that `is_admitted`: it settles a hold
    of the key. 0 units cost the minimum of the price. Repeating the call with its key returns the charge made then,
    also when the customer or their key has ended since.

    :raises InsufficientCredits: if less is available; the request is logged as rejected
    :raises CustomerKeyRateLimited: if the key has made all its calls of this minute
    :raises PriceUnknown: if no price names the endpoint
    :raises CustomerKeyInvalid, CustomerInactive, UnknownCustomer: if the customer may not be charged
    :raises IdempotencyKeyReused: if the key was used for another charge
    """
    outcome = _outcome_of(asked.with_fingerprint())
    match outcome.outcome:
        case "charged":
            return Charge(
                id=outcome.charge_id,
                user_id=outcome.user_id,
                credits=outcome.credits,
                balance_after=outcome.balance_after,
                available=outcome.available,
                entry_id=outcome.entry_id,
                request_id=outcome.request_id,
                is_replay=False,
            )
        case "replayed":
            return _made_before(outcome.user_id, asked.idempotency_key)
        case "insufficient":
            raise refusal_of(outcome, required=outcome.credits, budget=budget_of(outcome.limits))
        case "price_unknown":
            raise errors.PriceUnknown(normal_endpoint(asked.endpoint))
        case "key_reused":
            raise IdempotencyKeyReused
        case "rate_limited":
            raise rate_limited(outcome.limits)
    raise_customer_refusal(outcome.outcome)
    raise AssertionError(outcome.outcome)


_busy_customers: Batcher[AskedCharge, Any] = Batcher(one=charge_one, together=charge_together)


def _outcome_of(asked: AskedCharge) -> Any:
    """Charge in a batch with concurrent charges of this customer; in a transaction of the caller's own, alone."""
    if not settings.CHARGE_BATCHING or connection.in_atomic_block:
        return charge_one(asked)
    return _busy_customers.call((asked.user_id, asked.key_hash), asked.idempotency_key, asked)


def _made_before(user_id: int, idempotency_key: str) -> Charge:
    present = balance_of(user_id=user_id)
    named = {"user_id": user_id, "operation": "charge", "idempotency_key": idempotency_key}
    entry = Entry.objects.filter(**named).first()
    if entry is not None:
        return Charge(
            id=our_metadata(entry, "charge_id"),
            user_id=user_id,
            credits=-entry.amount,
            balance_after=entry.balance_after,
            available=present.available,
            entry_id=entry.pk,
            request_id=uuid.UUID(our_metadata(entry, "request_id")),
            is_replay=True,
        )
    free = OperationKey.objects.get(**named)
    return Charge(
        id=free.subject_id,
        user_id=user_id,
        credits=Decimal(0),
        balance_after=Decimal(free.result["balance_after"]),
        available=present.available,
        entry_id=None,
        request_id=uuid.UUID(free.result["request_id"]),
        is_replay=True,
    )
