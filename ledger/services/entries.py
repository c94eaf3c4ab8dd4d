"""Entries: the only way to change a balance."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from ledger import errors
from ledger.models import Entry, EntryReason, EntryType
from ledger.services.calls import ledger_call
from ledger.services.idempotency import fingerprint


class Posted(NamedTuple):
    """An entry, and whether this call made it or an earlier one with the same key."""

    entry: Entry
    is_replay: bool


def post_entry(
    *,
    user_id: int,
    type: EntryType,
    reason: EntryReason,
    amount: Decimal,
    description: str,
    operation: str,
    idempotency_key: str,
    reference: str | None = None,
    metadata: dict[str, Any] | None = None,
    actor_id: int | None = None,
) -> Posted:
    """Post one entry other than usage, and change the balance with it.

    `amount` is signed credits: positive for a credit, either for an adjustment. Repeating the call with its key returns
    the entry of the first call.

    :raises IdempotencyKeyReused: if the key was used for something else
    :raises InsufficientCredits: if a negative amount exceeds what is available
    :raises BalanceLimitExceeded: if the balance would leave its bounds
    :raises UnknownCustomer: if there is no such user
    """
    asked = {
        "type": type,
        "reason": reason,
        "amount": amount,
        "description": description,
        "reference": reference,
        "metadata": metadata or {},
        "actor": actor_id,
    }
    outcome = ledger_call(
        "ledger_post_entry",
        p_user_id=user_id,
        p_type=type,
        p_reason=reason,
        p_amount=amount,
        p_description=description,
        p_reference=reference,
        p_metadata=Jsonb(metadata or {}),
        p_operation=operation,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint(asked),
        p_actor_id=actor_id,
    )
    return posted_of(outcome, amount=amount)


def posted_of(outcome: Any, *, amount: Decimal) -> Posted:
    """Read what an SQL function that posts one entry returned.

    :raises LedgerRefusal: what was refused
    """
    match outcome.outcome:
        case "posted" | "replayed":
            return Posted(Entry.objects.get(pk=outcome.entry_id), is_replay=outcome.outcome == "replayed")
        case "key_reused":
            raise errors.IdempotencyKeyReused
        case "untimely":
            raise errors.GrantUntimely
    raise refusal_of(outcome, required=-amount)


def refusal_of(outcome: Any, *, required: Decimal, budget: errors.Budget | None = None) -> errors.InsufficientCredits:
    """Return the refusal for the ledger's `insufficient`, with its reason; `budget` is one that leaves too little."""
    return errors.InsufficientCredits(
        required=required,
        available=outcome.available,
        reserved=outcome.reserved,
        reason=outcome.reason,
        next_hold_expires_at=outcome.next_hold_expires_at,
        budget=budget,
    )
