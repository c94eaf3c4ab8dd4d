"""Notices of disputes: to the customer by webhook, to staff with the permission by email."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings

from accounts.selectors import staff_with_permission
from accounts.services.notices import notify_customer
from config.values.money import in_major_units, shown_money
from ledger.models import Payment, PaymentDispute

TYPE = "payment.disputed"
HEARS_OF_DISPUTES = "ledger.hear_of_disputes"  # the permission


def notify_disputed(payment: Payment, dispute: PaymentDispute, *, now: dt.datetime) -> None:
    """Write the notices of a dispute in the caller's transaction."""
    data = {
        "payment_id": payment.pk,
        "dispute_id": dispute.provider_dispute_id,
        "amount": in_major_units(dispute.amount_minor, payment.currency),
        "currency": payment.currency,
    }
    _notify(payment.user_id, dispute, data, None, None, now)
    subject = f"Payment {payment.pk} was disputed"
    for person in staff_with_permission(HEARS_OF_DISPUTES):
        _notify(person.pk, dispute, data | {"user_id": payment.user_id}, subject, _text(payment, dispute), now)


def _notify(
    user_id: int, dispute: PaymentDispute, data: dict[str, Any], subject: str | None, body: str | None, now: dt.datetime
) -> None:
    # A member of staff may also be the customer: each is notified under a key of their own.
    key = f"{dispute.pk}" if subject is None else f"staff {dispute.pk}"
    notify_customer(user_id=user_id, type=TYPE, key=key, data=data, subject=subject, body=body, now=now)


def _text(payment: Payment, dispute: PaymentDispute) -> str:
    after = (
        "The account was frozen: open holds are kept, and nothing more is spent until staff unfreeze it."
        if settings.DISPUTE_FREEZES_ACCOUNT
        else "The account is not frozen; you may do that in the back office."
    )
    return f"""\
A customer's bank has taken back {shown_money(dispute.amount_minor, payment.currency)} of payment {payment.pk}.

  Customer  {payment.user.email} ({payment.user_id})
  Dispute   {dispute.provider_dispute_id} at {payment.provider}

The credits were taken back as far as they were there; what is missing is taken from the next credits that come in.
Auto-reload was turned off. {after}
"""
