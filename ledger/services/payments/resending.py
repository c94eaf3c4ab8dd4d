"""Receipts that staff send again."""

from __future__ import annotations

import datetime as dt
import uuid

from django.db import transaction

from accounts.models import Notice, User
from accounts.services.notices import notify_customer
from ledger import errors
from ledger.models import Payment, PaymentState
from ledger.services.receipts import RECEIPT_AGAIN, receipt_of

MOST_A_DAY = 5  # receipts that one customer is sent again: a mailbox is no place for hundreds of copies


@transaction.atomic
def resend_receipt(*, payment_id: int, now: dt.datetime) -> str:
    """Queue the receipt of a payment once more, to the customer's verified address; return that address.

    The next round of emails sends it. No webhook repeats what was bought: programs would count it twice.

    :raises PaymentNotFound: if there is no such payment
    :raises ReceiptNotDue: if it was not paid
    :raises EmailNotVerified: if it is not known that the customer reads the address
    :raises TooManyReceipts: if the limit of a day is reached
    """
    payment = Payment.objects.select_related("package").filter(pk=payment_id).first()
    if payment is None:
        raise errors.PaymentNotFound
    if payment.state != PaymentState.SUCCEEDED or payment.settled_at is None:
        raise errors.ReceiptNotDue
    customer = User.objects.select_for_update(no_key=True).get(pk=payment.user_id)
    if customer.email_verified_at is None or not customer.is_active:
        raise errors.EmailNotVerified
    sent = Notice.objects.of(customer.pk).filter(type=RECEIPT_AGAIN, created_at__gt=now - dt.timedelta(days=1)).count()
    if sent >= MOST_A_DAY:
        raise errors.TooManyReceipts(limit=MOST_A_DAY)
    payment.user = customer
    subject, body = receipt_of(payment, paid_at=payment.settled_at)
    notify_customer(
        user_id=customer.pk,
        type=RECEIPT_AGAIN,
        key=f"{payment.pk}-{uuid.uuid4().hex}",
        data={"payment_id": payment.pk},
        subject=subject,
        body=body,
        email_to=customer.email,
        now=now,
    )
    return customer.email
