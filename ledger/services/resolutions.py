"""Resolve a dispute with credits: by an adjustment that reverses the debit, at once or once a second person agrees."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django.db import transaction

from ledger.dispute_errors import DisputeAwaitsApproval, DisputeNotFound
from ledger.models import AdjustmentReason, EntryDispute, EntryDisputeState
from ledger.services.adjustments.outcomes import AdjustmentOutcome
from ledger.services.adjustments.requests import request_adjustment
from ledger.services.disputes.closing import close_resolved
from ledger.services.disputes.locking import lock_open_dispute


@transaction.atomic
def resolve_dispute(
    *, dispute_id: int, credits: Decimal, note: str, actor_id: int, idempotency_key: str, now: dt.datetime
) -> AdjustmentOutcome:
    """Return `credits` of the disputed debit, or ask a second person to agree if they exceed the author's limits.

    The balance is locked first, then the dispute: of two members of staff one resolves it, and the entry of the other
    is rolled back. Repeating the call with its key returns what was asked for then.

    :raises DisputeNotFound: if there is no such dispute
    :raises DisputeClosed: if it is closed
    :raises DisputeAwaitsApproval: if credits for it wait for a second person already
    :raises LedgerRefusal: whatever `request_adjustment` refuses, such as more than is left of the debit
    """
    found = EntryDispute.objects.filter(pk=dispute_id).values_list("user_id", "entry_id").first()
    if found is None:
        raise DisputeNotFound
    user_id, entry_id = found
    outcome = request_adjustment(
        user_id=user_id,
        amount=credits,
        reason=AdjustmentReason.CORRECTION,
        note=note,
        actor_id=actor_id,
        idempotency_key=idempotency_key,
        reference=f"dispute-{dispute_id}",
        reverses=entry_id,
    )
    if outcome.is_replay:
        return outcome
    dispute = lock_open_dispute(dispute_id)
    if dispute.adjustment_id is not None:
        raise DisputeAwaitsApproval
    dispute.adjustment, dispute.state = outcome.request, EntryDisputeState.OPEN
    dispute.save(update_fields=["adjustment", "state"])
    if outcome.entry is not None:
        close_resolved(dispute, outcome.entry, actor_id=actor_id, now=now)
    return outcome
