"""Holds: credits set aside for work that has begun and not yet ended."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from django.db import IntegrityError
from psycopg.types.json import Jsonb

from config.db.calls import call
from ledger import errors
from ledger.models import Hold
from ledger.services.entries import raise_refusal, refusal_of
from ledger.services.idempotency import fingerprint

_SETTLED: dict[str, type[errors.HoldSettled]] = {
    "hold_captured": errors.HoldCaptured,
    "hold_released": errors.HoldReleased,
    "hold_expired": errors.HoldExpired,
}


class HoldChange(NamedTuple):
    """A hold as it is now, and whether this very call changed it or an earlier one with the same key."""

    hold: Hold
    is_replay: bool


def open_hold(
    *,
    user_id: int,
    credits: Decimal,
    expires_in_seconds: int,
    idempotency_key: str,
    reference: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> HoldChange:
    """Set `credits` (positive) aside until they are captured, released, or `expires_in_seconds` have passed.

    Repeating the call with its key answers with the hold opened then.

    :raises IdempotencyKeyReused: if the key was used for another hold
    :raises InsufficientCredits: if less is available
    :raises UnknownCustomer: if there is no such user
    """
    asked = {"credits": credits, "seconds": expires_in_seconds, "reference": reference, "metadata": metadata or {}}
    try:
        outcome = call(
            "ledger_open_hold",
            p_user_id=user_id,
            p_credits=credits,
            p_seconds=expires_in_seconds,
            p_reference=reference,
            p_metadata=Jsonb(metadata or {}),
            p_idempotency_key=idempotency_key,
            p_fingerprint=fingerprint(asked),
        )
    except IntegrityError as error:
        raise_refusal(error)
        raise
    if outcome.outcome == "insufficient":
        raise refusal_of(outcome, required=credits)
    return _change(outcome)


def release_hold(*, hold_id: int, idempotency_key: str) -> HoldChange:
    """Give back what an open hold still holds. Repeating the call with its key answers with what it did.

    :raises HoldNotFound: if there is no such hold
    :raises HoldCaptured, HoldReleased, HoldExpired: if it is settled, and not by this key
    :raises IdempotencyKeyReused: if the key released another hold
    """
    outcome = call(
        "ledger_release_hold",
        p_hold_id=hold_id,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint({"hold": hold_id}),
    )
    return _change(outcome)


def _change(outcome: Any) -> HoldChange:
    match outcome.outcome:
        case "opened" | "released" | "replayed":
            hold = Hold.objects.get(pk=outcome.hold_id)
            return HoldChange(hold, is_replay=outcome.outcome == "replayed")
        case "key_reused":
            raise errors.IdempotencyKeyReused
        case "not_found":
            raise errors.HoldNotFound
    raise _SETTLED[outcome.outcome]
