"""Notices of top-ups. Those of auto-reload are in agreement/notices.py."""

from __future__ import annotations

import datetime as dt
from typing import Any

from accounts.services.notices import notify_customer
from config.values.money import in_major_units
from ledger.models import Payment
from ledger.services.receipts import receipt_of

_NONE = (None, None)


def notify_top_up_succeeded(payment: Payment, *, now: dt.datetime) -> None:
    """Notify by webhook and by email, which is the receipt."""
    _notify(payment, "top_up.succeeded", _of_payment(payment), now, receipt_of(payment, paid_at=now))


def notify_top_up_failed(payment: Payment, *, code: str | None, why: str | None, now: dt.datetime) -> None:
    """Notify by webhook alone: the buyer sees it on the page."""
    _notify(payment, "top_up.failed", _of_payment(payment) | {"failure_code": code, "failure_message": why}, now)


def _notify(
    payment: Payment, type: str, data: dict[str, Any], now: dt.datetime, email: tuple[str | None, str | None] = _NONE
) -> None:
    subject, body = email
    key = str(payment.pk)
    notify_customer(user_id=payment.user_id, type=type, key=key, data=data, subject=subject, body=body, now=now)


def _of_payment(payment: Payment) -> dict[str, Any]:
    return {
        "payment_id": payment.pk,
        "credits": payment.credits,
        "price": in_major_units(payment.amount_minor, payment.currency),
        "currency": payment.currency,
    }
