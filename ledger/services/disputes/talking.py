"""The thread of a dispute: what the customer and staff write."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from ledger.dispute_errors import TooManyMessages
from ledger.errors import IdempotencyKeyReused
from ledger.models import DisputeMessage, EntryDispute, EntryDisputeState
from ledger.services.disputes.locking import lock_open_dispute
from ledger.services.disputes.notices import notify_step

MOST_MESSAGES = 100
"""How many messages each side may write about one dispute."""


@transaction.atomic
def write_message(
    *, user_id: int, dispute_id: int, text: str, now: dt.datetime, idempotency_key: str | None = None
) -> tuple[EntryDispute, bool]:
    """Add a customer's message: an answered dispute is open again. Return the dispute, and whether this is a replay.

    :raises DisputeNotFound: if the customer has no such dispute
    :raises DisputeClosed: if it is closed
    :raises TooManyMessages: if they have written MOST_MESSAGES
    :raises IdempotencyKeyReused: if the key was used for another message
    """
    if idempotency_key is not None:
        mine = DisputeMessage.objects.filter(dispute_id=dispute_id, dispute__user_id=user_id, author__isnull=True)
        earlier = mine.select_related("dispute").filter(idempotency_key=idempotency_key)
        if (found := earlier.first()) is not None:
            return _replayed(found, text)
    dispute = lock_open_dispute(dispute_id, user_id=user_id)
    if idempotency_key is not None and (found := earlier.first()) is not None:  # a twin had the lock before
        return _replayed(found, text)
    _write(dispute, text=text, author_id=None, now=now, idempotency_key=idempotency_key)
    _set_state(dispute, EntryDisputeState.OPEN)
    return dispute, False


def _replayed(found: DisputeMessage, text: str) -> tuple[EntryDispute, bool]:
    if found.text != text:
        raise IdempotencyKeyReused
    return found.dispute, True


@transaction.atomic
def answer_dispute(*, dispute_id: int, text: str, actor_id: int, now: dt.datetime) -> EntryDispute:
    """Add a message of staff, which the customer is sent.

    :raises DisputeNotFound: if there is no such dispute
    :raises DisputeClosed: if it is closed
    :raises TooManyMessages: if staff have written MOST_MESSAGES
    """
    dispute = lock_open_dispute(dispute_id)
    message = _write(dispute, text=text, author_id=actor_id, now=now)
    if dispute.adjustment_id is None:  # else staff still have something to do
        _set_state(dispute, EntryDisputeState.ANSWERED)
    notify_step(dispute, "answered", text=text, now=now, number=message.pk)
    return dispute


def _write(
    dispute: EntryDispute, *, text: str, author_id: int | None, now: dt.datetime, idempotency_key: str | None = None
) -> DisputeMessage:
    written = DisputeMessage.objects.filter(dispute=dispute, author__isnull=author_id is None)
    if written[:MOST_MESSAGES].count() >= MOST_MESSAGES:
        raise TooManyMessages(limit=MOST_MESSAGES)
    return DisputeMessage.objects.create(
        dispute=dispute, text=text, author_id=author_id, idempotency_key=idempotency_key, created_at=now
    )


def _set_state(dispute: EntryDispute, state: EntryDisputeState) -> None:
    dispute.state = state
    dispute.save(update_fields=["state"])
