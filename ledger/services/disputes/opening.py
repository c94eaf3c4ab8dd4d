"""Open a dispute of a debit."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db import transaction

from accounts.models import User
from ledger.dispute_errors import DisputeExists, DisputeTooLate, EntryNotDisputable, EntryNotFound, TooManyDisputes
from ledger.errors import IdempotencyKeyReused
from ledger.models import DisputeMessage, Entry, EntryDispute, EntryDisputeReason, EntryType
from ledger.services.disputes.notices import notify_step
from ledger.services.idempotency import fingerprint

MOST_OPEN = 20
LATEST = dt.timedelta(days=90)


class Opened(NamedTuple):
    """A dispute, and whether this call opened it or an earlier one with the same key."""

    dispute: EntryDispute
    is_replay: bool


@transaction.atomic
def open_dispute(
    *,
    user_id: int,
    entry_id: int,
    reason: EntryDisputeReason,
    message: str,
    now: dt.datetime,
    idempotency_key: str | None = None,
) -> Opened:
    """Open a dispute of one of the customer's debits, with its first message, and notify the customer.

    A customer's disputes are opened one after another, under the lock of the customer's row. Repeating the call with
    its key returns the dispute of the first call, as it is by now.

    :raises EntryNotFound: if the customer has no such entry
    :raises EntryNotDisputable: if it is no debit
    :raises DisputeTooLate: if it is older than LATEST
    :raises DisputeExists: if a dispute of it is open
    :raises TooManyDisputes: if MOST_OPEN are open
    :raises IdempotencyKeyReused: if the key was used for another dispute
    """
    User.objects.select_for_update(no_key=True).get(pk=user_id)
    mine = EntryDispute.objects.of(user_id)
    print_of_asked = fingerprint({"entry": entry_id, "reason": reason, "message": message})
    earlier = None if idempotency_key is None else mine.filter(idempotency_key=idempotency_key).first()
    if earlier is not None:
        if bytes(earlier.fingerprint or b"") != print_of_asked:
            raise IdempotencyKeyReused
        return Opened(earlier, is_replay=True)
    _check(Entry.objects.of(user_id).filter(pk=entry_id).first(), now)
    open_ones = set(mine.not_closed().values_list("entry_id", flat=True))
    if entry_id in open_ones:
        raise DisputeExists
    if len(open_ones) >= MOST_OPEN:
        raise TooManyDisputes(limit=MOST_OPEN)
    dispute = EntryDispute.objects.create(
        user_id=user_id,
        entry_id=entry_id,
        reason=reason,
        idempotency_key=idempotency_key,
        fingerprint=None if idempotency_key is None else print_of_asked,
        created_at=now,
    )
    DisputeMessage.objects.create(dispute=dispute, text=message, created_at=now)
    notify_step(dispute, "opened", text=message, now=now)
    return Opened(dispute, is_replay=False)


def _check(entry: Entry | None, now: dt.datetime) -> None:
    if entry is None:
        raise EntryNotFound
    if entry.type != EntryType.DEBIT:
        raise EntryNotDisputable
    if now - entry.created_at > LATEST:
        raise DisputeTooLate(days=LATEST.days)
