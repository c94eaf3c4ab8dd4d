"""The lock of auto-reload: a change of a customer's terms locks the balance first, and then the row."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction

from ledger.models import AutoReload, AutoReloadEvent, OffReason, ReloadEventKind
from ledger.services.agreement.notices import notify_turned_off
from ledger.services.calls import ledger_call
from ledger.services.thresholds import watch_available

THRESHOLD = "auto_reload"  # the threshold's name


class LockedCredits(NamedTuple):
    """A customer's credits, read under the lock of the balance, and since when available is below the threshold."""

    balance: Decimal
    available: Decimal
    frozen_at: dt.datetime | None
    crossed_at: dt.datetime | None


def lock_balance(*, user_id: int) -> LockedCredits:
    """Lock a customer's balance until the caller's transaction ends; arm the threshold if available is back.

    :raises UnknownCustomer: if there is no such user
    """
    row = ledger_call("ledger_look_at_threshold", p_user_id=user_id, p_name=THRESHOLD)
    return LockedCredits(**row._asdict())


def locked_reload(*, user_id: int) -> AutoReload | None:
    """Return a customer's terms, locked until the caller's transaction ends; the balance is locked first."""
    rows = AutoReload.objects.select_for_update(no_key=True, of=("self",)).select_related("method", "user")
    return rows.filter(pk=user_id).first()


def note_event(reload: AutoReload, kind: ReloadEventKind, *, now: dt.datetime, **facts: object) -> AutoReloadEvent:
    """Add an event to the history, with the present terms."""
    return AutoReloadEvent.objects.create(
        user_id=reload.pk,
        kind=kind,
        threshold=reload.threshold,
        amount=reload.amount,
        target=reload.target,
        monthly_cap_minor=reload.monthly_cap_minor,
        currency=reload.currency,
        sentence=reload.sentence,
        created_at=now,
        **facts,
    )


def turn_off(reload: AutoReload, *, reason: OffReason, now: dt.datetime, **facts: object) -> AutoReloadEvent:
    """Turn auto-reload off and notify the customer; balance and row are locked. It stays off until they turn it on."""
    reload.enabled = False
    reload.off_reason = reason
    reload.turned_off_at = reload.updated_at = now
    reload.next_attempt_at = None
    reload.save()
    watch_available(user_id=reload.pk, name=THRESHOLD, below=None)
    event = note_event(reload, ReloadEventKind.DISABLED, now=now, reason=reason, **facts)
    notify_turned_off(reload, event, reason, now=now)
    return event


@transaction.atomic
def turn_off_for_card(*, user_id: int, payment_method_id: int, now: dt.datetime) -> None:
    """Turn auto-reload off if this card was its card; repeating it does nothing."""
    lock_balance(user_id=user_id)
    reload = locked_reload(user_id=user_id)
    if reload is not None and reload.enabled and reload.method_id == payment_method_id:
        turn_off(reload, reason=OffReason.METHOD_REMOVED, now=now)
