"""Holds: credits set aside for work that has begun and not yet ended, and the settlement of those that expired."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models.functions import Now
from psycopg.types.json import Jsonb

from config.db.calls import call
from ledger import errors
from ledger.models import Balance, Hold, HoldStatus
from ledger.services.calls import ledger_call
from ledger.services.entries import refusal_of
from ledger.services.idempotency import fingerprint

REPLAYED = "replayed"
_DONE = frozenset({"opened", "captured", "released", "extended", REPLAYED})
_REFUSALS: dict[str, type[errors.LedgerRefusal]] = {
    "key_reused": errors.IdempotencyKeyReused,
    "not_found": errors.HoldNotFound,
    "hold_captured": errors.HoldCaptured,
    "hold_released": errors.HoldReleased,
    "hold_expired": errors.HoldExpired,
    "capture_exceeds_hold": errors.CaptureExceedsHold,
}
_COLUMNS = (
    "id", "user_id", "credits", "captured", "status", "expires_at", "reference", "created_at", "settled_at"
)  # fmt: skip


class HoldChange(NamedTuple):
    """A hold as it is now, and whether an earlier call with the same key changed it."""

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
    """Set `credits` (0 or more) aside until they are captured, released, or `expires_in_seconds` have passed.

    Repeating the call with its key returns the hold of the first call.

    :raises IdempotencyKeyReused: if the key was used for another hold
    :raises InsufficientCredits: if less is available
    :raises UnknownCustomer: if there is no such user
    """
    asked = {"credits": credits, "seconds": expires_in_seconds, "reference": reference, "metadata": metadata or {}}
    outcome = ledger_call(
        "ledger_open_hold",
        p_user_id=user_id,
        p_credits=credits,
        p_seconds=expires_in_seconds,
        p_reference=reference,
        p_metadata=Jsonb(metadata or {}),
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint(asked),
    )
    return hold_change(outcome)


def release_hold(*, hold_id: int, idempotency_key: str, user_id: int | None = None) -> HoldChange:
    """Release what an open hold still holds. Repeating the call with its key returns the result of the first call.

    With `user_id`, holds of other customers are not found.

    :raises HoldNotFound: if there is no such hold
    :raises HoldCaptured, HoldReleased, HoldExpired: if it is settled, and not by this key
    :raises IdempotencyKeyReused: if the key released another hold
    """
    outcome = call(
        "ledger_release_hold",
        p_hold_id=hold_id,
        p_user_id=user_id,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint({"hold": hold_id}),
    )
    return hold_change(outcome)


def extend_hold(
    *, hold_id: int, expires_in_seconds: int, idempotency_key: str, user_id: int | None = None
) -> HoldChange:
    """Extend an open hold until `expires_in_seconds` from now; it never becomes shorter.

    Repeating the call with its key returns the hold, and extends nothing. With `user_id`, holds of other customers are
    not found.

    :raises HoldNotFound: if there is no such hold
    :raises HoldCaptured, HoldReleased, HoldExpired: if it is settled, and not by this key
    :raises IdempotencyKeyReused: if the key extended another hold, or by another time
    """
    outcome = call(
        "ledger_extend_hold",
        p_hold_id=hold_id,
        p_user_id=user_id,
        p_seconds=expires_in_seconds,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint({"hold": hold_id, "seconds": expires_in_seconds}),
    )
    return hold_change(outcome)


def customers_with_expiries() -> list[int]:
    """Return the customers who may have something expired and not settled, by the database's clock."""
    due = Balance.objects.filter(next_expiry_at__lte=Now())
    return list(due.order_by("user_id").values_list("user_id", flat=True))


def expired_holds(*, user_id: int | None = None) -> int:
    """Count holds that have expired and are not settled."""
    holds = Hold.objects.filter(status=HoldStatus.OPEN, expires_at__lte=Now())
    return (holds if user_id is None else holds.filter(user_id=user_id)).count()


def expire_holds(*, user_id: int) -> int:
    """Settle every expired hold of the customer in one transaction; return how many.

    Repeating it finds nothing more. Of concurrent runs, one settles each hold.
    """
    settled: int = call("ledger_expire_holds", p_user_id=user_id)[0]
    return settled


def hold_change(outcome: Any) -> HoldChange:
    """Read what an SQL function on a hold returned.

    :raises LedgerRefusal: what was refused
    """
    return HoldChange(hold_of(outcome), is_replay=outcome.outcome == REPLAYED)


def hold_of(outcome: Any) -> Hold:
    """Return the hold of an SQL function's result; columns that are not in it are read when asked for.

    :raises LedgerRefusal: what was refused
    """
    if outcome.outcome == "insufficient":
        raise refusal_of(outcome, required=outcome.required)
    if outcome.outcome not in _DONE:
        raise _REFUSALS[outcome.outcome]
    values = (outcome.hold_id, *(getattr(outcome, column) for column in _COLUMNS[1:]))
    return Hold.from_db("default", _COLUMNS, values)
