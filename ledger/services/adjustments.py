"""Adjustments: balances that staff change, always with a reason."""

from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal

from django.db import transaction

from ledger.models import AdjustmentReason, EntryReason, EntryType, OffReason
from ledger.services.entries import Posted, post_entry
from ledger.services.payments.distrust import stop_reloading


def adjust_credits(
    *, user_id: int, amount: Decimal, reason: AdjustmentReason, note: str, actor_id: int, idempotency_key: str
) -> Posted:
    """Adjust a customer's balance; `amount` is signed credits, never 0.

    Staff and the customer read the note, which becomes the entry's description. Repeating the call with its key returns
    the entry of the first call. An adjustment for a chargeback turns auto-reload off, like a dispute that the provider
    reports.

    :raises IdempotencyKeyReused, InsufficientCredits, BalanceLimitExceeded, UnknownCustomer: as `post_entry`
    """
    is_taken_back = reason == AdjustmentReason.CHARGEBACK and amount < 0
    with transaction.atomic() if is_taken_back else nullcontext():
        posted = post_entry(
            user_id=user_id,
            type=EntryType.ADJUSTMENT,
            reason=EntryReason(reason),
            amount=amount,
            description=note,
            operation="adjust_credits",
            idempotency_key=idempotency_key,
            actor_id=actor_id,
        )
        if is_taken_back and not posted.is_replay:
            stop_reloading(user_id=user_id, reason=OffReason.DISPUTED, now=posted.entry.created_at)
    return posted
