"""Notices of auto-reload: written in the transaction of the event, sent afterwards."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings

from accounts.services.notices import notify_customer
from config.values.credits import plain
from config.values.money import in_major_units, shown_money
from ledger.models import AutoReload, AutoReloadEvent, OffReason, Payment
from ledger.services.agreement.pricing import terms_of
from ledger.services.agreement.words import OFF_SENTENCES
from ledger.services.receipts import receipt_of


def notify_succeeded(payment: Payment, *, now: dt.datetime) -> None:
    """Notify by webhook and by email, which is the receipt."""
    subject, body = receipt_of(payment, paid_at=now)
    notify_customer(
        user_id=payment.user_id,
        type="auto_reload.succeeded",
        key=str(payment.pk),
        data=_of_payment(payment),
        subject=subject,
        body=body,
        now=now,
    )


def notify_failed(payment: Payment, reload: AutoReload, *, code: str | None, why: str | None, now: dt.datetime) -> None:
    """Notify of a decline; `notify_turned_off` sends the email instead when auto-reload is off."""
    notify_customer(
        user_id=payment.user_id,
        type="auto_reload.failed",
        key=str(payment.pk),
        data=_of_payment(payment)
        | {
            "failure_code": code,
            "failure_message": why,
            "declines_in_a_row": reload.declines_in_a_row,
            "next_attempt_at": reload.next_attempt_at,
        },
        subject="Your automatic payment was declined" if reload.enabled else None,
        body=_failure(payment, reload, why) if reload.enabled else None,
        now=now,
    )


def _failure(payment: Payment, reload: AutoReload, why: str | None) -> str:
    again = reload.next_attempt_at
    when = "soon" if again is None else f"at {again:%Y-%m-%d %H:%M} UTC at the earliest"
    return f"""\
We could not charge your card {shown_money(payment.amount_minor, payment.currency)} for \
{plain(payment.credits):,f} credits: {why or "it was declined."}

We try again {when}. After three declined payments in a row auto-reload is turned off.

Buy credits or choose another card: {settings.TOP_UP_URL}
"""


def notify_requires_action(payment: Payment, *, action_url: str | None, now: dt.datetime) -> None:
    text = f"""\
Your bank wants you to confirm a payment of {shown_money(payment.amount_minor, payment.currency)} for \
{plain(payment.credits):,f} credits, which auto-reload has begun because your credits ran low.

Confirm it here: {action_url or settings.TOP_UP_URL}

Nothing more is charged until you do, or until {payment.expires_at:%Y-%m-%d %H:%M} UTC.
"""
    notify_customer(
        user_id=payment.user_id,
        type="auto_reload.requires_action",
        key=str(payment.pk),
        data=_of_payment(payment) | {"action_url": action_url, "expires_at": payment.expires_at},
        subject="Please confirm your automatic payment",
        body=text,
        now=now,
    )


def notify_turned_off(reload: AutoReload, event: AutoReloadEvent, reason: OffReason, *, now: dt.datetime) -> None:
    """Notify by webhook, and also by email unless the customer turned it off."""
    text = f"""\
Auto-reload is off: no more credits are bought when yours run low. {OFF_SENTENCES[reason]}

It stays off until you turn it on again: {settings.TOP_UP_URL}
"""
    by_customer = reason == OffReason.CUSTOMER
    notify_customer(
        user_id=reload.pk,
        type="auto_reload.disabled",
        key=str(event.pk),
        data={"reason": str(reason), "declines_in_a_row": reload.declines_in_a_row},
        subject=None if by_customer else "Auto-reload was turned off",
        body=None if by_customer else text,
        now=now,
    )


def notify_cap_reached(reload: AutoReload, *, month: dt.date, now: dt.datetime) -> None:
    """Notify that the cap is reached, once a month."""
    terms, currency = terms_of(reload), reload.currency or ""
    text = f"""\
Your credits are below {plain(terms.threshold):,f}, but auto-reload has reached your cap of \
{shown_money(terms.monthly_cap_minor, currency)} a month: it buys nothing more until the month is over (UTC).

Buy credits or raise the cap: {settings.TOP_UP_URL}
"""
    cap = plain(in_major_units(terms.monthly_cap_minor, currency))
    notify_customer(
        user_id=reload.pk,
        type="auto_reload.cap_reached",
        key=f"{month:%Y-%m}",
        data={"month": f"{month:%Y-%m}", "monthly_cap": cap, "currency": currency},
        subject="Auto-reload has reached your monthly cap",
        body=text,
        now=now,
    )


def _of_payment(payment: Payment) -> dict[str, Any]:
    return {
        "payment_id": payment.pk,
        "credits": plain(payment.credits),
        "price": plain(in_major_units(payment.amount_minor, payment.currency)),
        "currency": payment.currency,
    }
