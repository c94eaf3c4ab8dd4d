"""The switch that staff have: a customer's auto-reload is turned off for them."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db import transaction

from ledger.models import AutoReloadEvent, OffReason
from ledger.services.agreement.locking import lock_balance, locked_reload, turn_off


class Switched(NamedTuple):
    """What a form has done, and whether this very call did it or an earlier one with the same key."""

    event: AutoReloadEvent | None
    is_replay: bool


@transaction.atomic
def switch_off_auto_reload(
    *, user_id: int, actor_id: int, note: str, idempotency_key: str, now: dt.datetime
) -> Switched:
    """Turn a customer's auto-reload off for them, by staff; what is in flight comes to its end.

    Repeating the call with its key changes nothing, even if the customer has turned it on since; nor does turning off
    what is off, which answers no event.

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
