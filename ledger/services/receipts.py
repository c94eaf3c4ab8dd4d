"""Receipts: the email of the notice that a payment succeeded, due in the transaction that credits it.

A command sends it (`settle_payments`, `send_alerts`), never the request that bought.
"""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from config.values.credits import plain
from config.values.money import shown_money
from ledger.models import Payment, PaymentKind

RECEIPT_AGAIN = "top_up.receipt"
"""The notice by which staff send a receipt again."""

RECEIPT_TYPES = ("auto_reload.succeeded", "top_up.succeeded", RECEIPT_AGAIN)
"""The notices whose email is a receipt."""


def receipt_of(payment: Payment, *, paid_at: dt.datetime) -> tuple[str, str]:
    """Return the subject and the text of a payment's receipt."""
    subject = f"Receipt: {plain(payment.credits):,f} {settings.CREDIT_UNIT.lower()}"
    text = f"""\
Thank you for your payment.

  What      {purchase_description(payment)}
  Credits   {plain(payment.credits):,f}
  Paid      {shown_money(payment.amount_minor, payment.currency)}
  When      {paid_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC
  Payment   {payment.pk}
  Account   {payment.user.email}

The credits are in your account.
"""
    return subject, text


def purchase_description(payment: Payment) -> str:
    """Return what a payment is for, as receipts and bank statements name it."""
    if payment.kind == PaymentKind.AUTO_RELOAD:
        return "Auto-reload"
    return payment.package.name if payment.package is not None else "Credits"
