"""Refund charges and captures, wholly or in part."""

from __future__ import annotations

from decimal import Decimal

from ledger.errors import ChargeNotFound, IdempotencyKeyReused, RefundExceedsCharge
from ledger.models import Entry
from ledger.services.calls import ledger_call
from ledger.services.entries import Posted
from ledger.services.idempotency import fingerprint


def refund_charge(
    *,
    charge_id: int,
    reason: str,
    idempotency_key: str,
    credits: Decimal | None = None,
    user_id: int | None = None,
) -> Posted:
    """Return the cost of a charge or a capture, by an entry that is linked to its debit.

    `credits` is positive; None refunds all that is left. The statistics of the request's own day are lowered by as
    much. Works for ever, also after the request's log is gone. Repeating the call with its key returns the entry made
    then. With `user_id`, only a charge of that customer is found.

    :raises ChargeNotFound: if there is no such charge
    :raises RefundExceedsCharge: if more is asked than is left, or nothing is left
    :raises BalanceLimitExceeded: if the balance would leave its bounds
    :raises IdempotencyKeyReused: if the key was used for another refund
    """
    asked = {"charge": charge_id, "credits": credits, "reason": reason}
    outcome = ledger_call(
        "usage_refund",
        p_charge_id=charge_id,
        p_user_id=user_id,
        p_credits=credits,
        p_description=reason,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint(asked),
    )
    match outcome.outcome:
        case "not_found":
            raise ChargeNotFound
        case "key_reused":
            raise IdempotencyKeyReused
        case "refund_exceeds_charge":
            raise RefundExceedsCharge(outcome.available)
    return Posted(Entry.objects.get(pk=outcome.entry_id), is_replay=outcome.outcome == "replayed")
