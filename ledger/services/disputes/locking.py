"""The lock of a dispute: its row, after the balance where credits move."""

from __future__ import annotations

from ledger.dispute_errors import DisputeClosed, DisputeNotFound
from ledger.models import EntryDispute


def lock_open_dispute(dispute_id: int, *, user_id: int | None = None) -> EntryDispute:
    """Lock a dispute until the caller's transaction ends; with `user_id`, only one of this customer's.

    :raises DisputeNotFound: if there is none
    :raises DisputeClosed: if it is closed
    """
    dispute = lock_dispute(dispute_id, user_id=user_id)
    if dispute.is_closed:
        raise DisputeClosed(dispute.state)
    return dispute


def lock_dispute(dispute_id: int, *, user_id: int | None = None) -> EntryDispute:
    """Lock a dispute, closed or not.

    :raises DisputeNotFound: if there is none
    """
    rows = EntryDispute.objects.select_for_update(no_key=True, of=("self",)).filter(pk=dispute_id)
    found = rows.first() if user_id is None else rows.filter(user_id=user_id).first()
    if found is None:
        raise DisputeNotFound
    return found
