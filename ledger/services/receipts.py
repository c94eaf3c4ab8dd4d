"""Receipts by email: one for each payment that succeeded."""

from __future__ import annotations

import datetime as dt
import logging

from django.conf import settings

from config.http.numbers import plain
from config.mail import EmailNotSent, send_email
from ledger.models import Payment, PaymentKind, PaymentState
from ledger.money import shown_money

logger = logging.getLogger(__name__)


def send_receipt(*, payment_id: int, now: dt.datetime) -> bool:
    """Send the receipt of a payment that succeeded, once; answers whether it was sent now.

    Claimed before it is sent, so that nobody gets two; given back if that fails, so that a later call tries again.
    """
    mine = Payment.objects.filter(pk=payment_id, state=PaymentState.SUCCEEDED, receipt_sent_at__isnull=True)
    if not mine.update(receipt_sent_at=now):
        return False
    payment = Payment.objects.select_related("user", "package").get(pk=payment_id)
    try:
        send_email(to=payment.user.email, subject=_subject(payment), body=_text(payment))
    except EmailNotSent as error:
        Payment.objects.filter(pk=payment_id).update(receipt_sent_at=None)
        logger.warning("The receipt of payment %s could not be sent: %s", payment_id, error)
        return False
    return True


def what_was_bought(payment: Payment) -> str:
    """Name what a payment is for, in the words of receipts and bank statements."""
    if payment.kind == PaymentKind.AUTO_RELOAD:
        return "Auto-reload"
    return payment.package.name if payment.package is not None else "Credits"


def _subject(payment: Payment) -> str:
    return f"Receipt: {plain(payment.credits):,f} {settings.CREDIT_UNIT.lower()}"


def _text(payment: Payment) -> str:
    paid_at = payment.settled_at or payment.created_at
    return f"""\
Thank you for your payment.

  What      {what_was_bought(payment)}
  Credits   {plain(payment.credits):,f}
  Paid      {shown_money(payment.amount_minor, payment.currency)}
  When      {paid_at:%Y-%m-%d %H:%M} UTC
  Payment   {payment.pk}
  Account   {payment.user.email}

The credits are in your account.
"""
