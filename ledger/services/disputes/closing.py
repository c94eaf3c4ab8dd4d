"""Close a dispute: withdrawn by the customer, rejected by staff, or resolved once its credits are returned."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from ledger.dispute_errors import DisputeAwaitsApproval
from ledger.models import AdjustmentRequest, DisputeMessage, Entry, EntryDispute, EntryDisputeState
from ledger.services.disputes.locking import lock_dispute, lock_open_dispute
from ledger.services.disputes.notices import notify_step


@transaction.atomic
def withdraw_dispute(*, user_id: int, dispute_id: int, now: dt.datetime) -> EntryDispute:
    """Withdraw a dispute of the customer's; repeating it returns the withdrawn dispute.

    :raises DisputeNotFound: if the customer has no such dispute
    :raises DisputeClosed: if staff have closed it
    :raises DisputeAwaitsApproval: if credits for it wait for a second person
    """
    dispute = lock_dispute(dispute_id, user_id=user_id)
    if dispute.state == EntryDisputeState.WITHDRAWN:
        return dispute
    dispute = lock_open_dispute(dispute_id, user_id=user_id)
    _refuse_while_awaiting(dispute)
    _close(dispute, EntryDisputeState.WITHDRAWN, now=now)
    notify_step(dispute, "withdrawn", text=None, now=now)
    return dispute


@transaction.atomic
def reject_dispute(*, dispute_id: int, text: str, actor_id: int, now: dt.datetime) -> EntryDispute:
    """Reject a dispute with words that the customer is sent.

    :raises DisputeNotFound: if there is no such dispute
    :raises DisputeClosed: if it is closed
    :raises DisputeAwaitsApproval: if credits for it wait for a second person
    """
    dispute = lock_open_dispute(dispute_id)
    _refuse_while_awaiting(dispute)
    DisputeMessage.objects.create(dispute=dispute, text=text, author_id=actor_id, created_at=now)
    _close(dispute, EntryDisputeState.REJECTED, actor_id=actor_id, now=now)
    notify_step(dispute, "rejected", text=text, now=now)
    return dispute


def close_resolved(dispute: EntryDispute, entry: Entry, *, actor_id: int, now: dt.datetime) -> None:
    """Close a locked dispute by the entry that returned its credits, in the transaction of that entry."""
    dispute.reversal, dispute.credits_returned = entry, entry.amount
    _close(dispute, EntryDisputeState.RESOLVED, actor_id=actor_id, now=now)
    notify_step(dispute, "resolved", text=None, now=now)


def note_decision(request: AdjustmentRequest, entry: Entry | None, *, now: dt.datetime) -> None:
    """Resolve the dispute whose credits a second person approved; one whose credits were not approved is open again.

    In the transaction of the decision, after the balance is locked. Requests that are about no dispute change nothing.
    """
    rows = EntryDispute.objects.select_for_update(no_key=True, of=("self",)).not_closed()
    dispute = rows.filter(adjustment=request).first()
    if dispute is None:
        return
    if entry is not None:
        close_resolved(dispute, entry, actor_id=request.author_id, now=now)
        return
    dispute.adjustment, dispute.state = None, EntryDisputeState.OPEN
    dispute.save(update_fields=["adjustment", "state"])


def _refuse_while_awaiting(dispute: EntryDispute) -> None:
    if dispute.adjustment_id is not None:
        raise DisputeAwaitsApproval


def _close(dispute: EntryDispute, state: EntryDisputeState, *, now: dt.datetime, actor_id: int | None = None) -> None:
    dispute.state, dispute.closed_at, dispute.closed_by_id = state, now, actor_id
    dispute.save(update_fields=["state", "closed_at", "closed_by", "reversal", "credits_returned"])
