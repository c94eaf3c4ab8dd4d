"""What follows from a refund or dispute: auto-reload is turned off, staff are notified, the account may be frozen.

Each function is called in the transaction that records it, with the balance locked, and once for each record.
"""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from ledger import errors
from ledger.models import OffReason, Payment, PaymentDispute, PaymentKind
from ledger.services.agreement.locking import locked_reload, turn_off
from ledger.services.controls import freeze_balance
from ledger.services.payments.dispute_notices import notify_disputed


def distrust_disputed(payment: Payment, dispute: PaymentDispute, *, now: dt.datetime) -> None:
    """Turn auto-reload off, notify customer and staff, and freeze the account if the site is set so.

    This holds for any payment: a customer who disputes one has not agreed to the next.
    """
    stop_reloading(user_id=payment.user_id, reason=OffReason.DISPUTED, now=now)
    notify_disputed(payment, dispute, now=now)
    if settings.DISPUTE_FREEZES_ACCOUNT:
        _freeze(payment, dispute)


def distrust_refunded(payment: Payment, *, now: dt.datetime) -> None:
    """Turn auto-reload off when one of its payments is refunded, wholly or in part."""
    if payment.kind == PaymentKind.AUTO_RELOAD:
        stop_reloading(user_id=payment.user_id, reason=OffReason.REFUNDED, now=now)


def stop_reloading(*, user_id: int, reason: OffReason, now: dt.datetime) -> None:
    """Turn auto-reload off, if it is on; turning it on requires a new consent."""
    reload = locked_reload(user_id=user_id)
    if reload is not None and reload.enabled:
        turn_off(reload, reason=reason, now=now)


def _freeze(payment: Payment, dispute: PaymentDispute) -> None:
    note = f"Payment {payment.pk} was disputed ({dispute.provider_dispute_id})."
    try:
        freeze_balance(user_id=payment.user_id, note=note, actor_id=None, idempotency_key=f"dispute {dispute.pk}")
    except errors.TermsUnchanged:
        return  # frozen before, for another reason
