"""Adjustments by command: posted at once, by whoever has a shell."""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext
from decimal import Decimal

from django.db import transaction

from ledger.models import AdjustmentReason, EntryReason, EntryType, OffReason
from ledger.services.entries import Posted, post_entry
from ledger.services.payments.distrust import stop_reloading


def adjust_credits(
    *, user_id: int, amount: Decimal, reason: AdjustmentReason, note: str, actor_id: int, idempotency_key: str
) -> Posted:
    """Adjust a customer's balance by `amount` (signed credits, never 0), whatever the limits of staff are.

    Staff and the customer read the note, which becomes the entry's description. Repeating the call with its key returns
    the entry of the first call. An adjustment for a chargeback turns auto-reload off, like a dispute that the provider
    reports.

    :raises IdempotencyKeyReused, InsufficientCredits, BalanceLimitExceeded, UnknownCustomer: as `post_entry`
    """
    with transaction.atomic() if is_chargeback(reason, amount) else nullcontext():
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
        if not posted.is_replay:
            stop_reloading_if_charged_back(user_id=user_id, reason=reason, amount=amount, now=posted.entry.created_at)
    return posted


def is_chargeback(reason: str | None, amount: Decimal | None) -> bool:
    return reason == AdjustmentReason.CHARGEBACK and amount is not None and amount < 0


def stop_reloading_if_charged_back(
    *, user_id: int, reason: str | None, amount: Decimal | None, now: dt.datetime
) -> None:
    """Turn auto-reload off after an adjustment for a chargeback, in the transaction of its entry."""
    if is_chargeback(reason, amount):
        stop_reloading(user_id=user_id, reason=OffReason.DISPUTED, now=now)
