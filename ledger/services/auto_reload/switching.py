"""Turning a customer's auto-reload off by staff."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db import transaction

from ledger.models import AutoReloadEvent, OffReason
from ledger.services.agreement.locking import lock_balance, locked_reload, turn_off


class Switched(NamedTuple):
    """The event of turning it off (None: it was off), and whether an earlier call with the same key did it."""

    event: AutoReloadEvent | None
    is_replay: bool


@transaction.atomic
def switch_off_auto_reload(
    *, user_id: int, actor_id: int, note: str, idempotency_key: str, now: dt.datetime
) -> Switched:
    """Turn a customer's auto-reload off, by staff; a payment in progress is completed.

    Repeating the call with its key changes nothing, even if the customer has turned it on since. If it is off already,
    nothing changes, and there is no event.

    :raises UnknownCustomer: if there is no such user
    """
    lock_balance(user_id=user_id)
    reload = locked_reload(user_id=user_id)
    before = AutoReloadEvent.objects.filter(user_id=user_id, idempotency_key=idempotency_key).first()
    if before is not None:
        return Switched(before, is_replay=True)
    if reload is None or not reload.enabled:
        return Switched(None, is_replay=False)
    event = turn_off(
        reload, reason=OffReason.STAFF, now=now, actor_id=actor_id, note=note, idempotency_key=idempotency_key
    )
    return Switched(event, is_replay=False)
