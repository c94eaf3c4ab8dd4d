"""Reversals: when the provider returns money, the credits that it bought are taken back as far as they are left."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, Sum
from django.db.models.functions import Coalesce, Greatest, Least

from config.db.calls import call
from ledger.models import DisputeStatus, Payment, PaymentDispute, PaymentRefund
from ledger.services.agreement.locking import lock_balance
from ledger.services.grants import settle_grants
from ledger.services.payments.distrust import distrust_disputed, distrust_refunded


def note_refund(*, payment_id: int, refunded_minor: int, now: dt.datetime) -> None:
    """Record the total of a payment that was refunded, and take back the credits.

    A lower total is an older one, so late and repeated webhooks change nothing. A refund of what auto-reload bought
    turns auto-reload off, in the same transaction.
    """
    with _noting(payment_id) as payment:
        _note_total(payment_id, refunded_minor)
        _sum_refunds(payment, now)


def note_single_refund(
    *,
    payment_id: int,
    provider_refund_id: str,
    amount_minor: int,
    has_failed: bool,
    now: dt.datetime,
    refunded_minor: int | None = None,
) -> None:
    """Record one refund, and whether it failed: then the money is ours and the credits are the customer's again.

    `refunded_minor` is the total of the payment by then, if the provider tells. A failed refund stays failed. Webhooks
    of single refunds and of totals come in any order, any number of times.
    """
    with _noting(payment_id) as payment:
        if refunded_minor is not None:
            _note_total(payment_id, refunded_minor)
        refund, _ = PaymentRefund.objects.get_or_create(
            payment_id=payment_id, provider_refund_id=provider_refund_id, defaults={"amount_minor": amount_minor}
        )
        if has_failed:
            PaymentRefund.objects.filter(pk=refund.pk).update(has_failed=True)
        _sum_refunds(payment, now)


def _note_total(payment_id: int, refunded_minor: int) -> None:
    rows = Payment.objects.filter(pk=payment_id)
    rows.update(refunded_said_minor=Greatest("refunded_said_minor", Least(refunded_minor, "amount_minor")))


def _sum_refunds(payment: Payment, now: dt.datetime) -> None:
    """Compute what is refunded from the provider's total and its single refunds.

    The total is the highest ever reported, failed refunds included. It is more than the single refunds where only some
    of them are known, and less after a failure.
    """
    refunds = PaymentRefund.objects.filter(payment_id=payment.pk)
    sums = refunds.aggregate(
        failed=Coalesce(Sum("amount_minor", filter=Q(has_failed=True)), 0),
        made=Coalesce(Sum("amount_minor", filter=Q(has_failed=False)), 0),
    )
    before, reported = Payment.objects.values_list("refunded_minor", "refunded_said_minor").get(pk=payment.pk)
    refunded = min(max(reported - sums["failed"], sums["made"], 0), payment.amount_minor)
    if refunded != before:
        Payment.objects.filter(pk=payment.pk).update(refunded_minor=refunded)
    if refunded > before:
        distrust_refunded(payment, now=now)


def note_dispute(
    *, payment_id: int, provider_dispute_id: str, amount_minor: int, status: DisputeStatus, now: dt.datetime
) -> None:
    """Record a dispute and its status, and take back the credits, or return them when it was won.

    A dispute that has ended keeps its status: late webhooks change nothing. A new dispute that was not won turns
    auto-reload off and notifies staff, in the same transaction.
    """
    with _noting(payment_id) as payment:
        dispute, is_news = PaymentDispute.objects.get_or_create(
            payment_id=payment_id,
            provider_dispute_id=provider_dispute_id,
            defaults={"amount_minor": amount_minor, "status": status},
        )
        PaymentDispute.objects.filter(pk=dispute.pk, status=DisputeStatus.OPEN).update(status=status)
        if is_news and status != DisputeStatus.WON:
            distrust_disputed(payment, dispute, now=now)


@contextmanager
def _noting(payment_id: int) -> Iterator[Payment]:
    """Record a fact about a payment under the lock of the balance, and settle its reversals.

    All in one transaction; where a long history has to be settled first, which takes several, the credits follow.
    """
    with transaction.atomic():
        payment = Payment.objects.select_related("user").get(pk=payment_id)
        lock_balance(user_id=payment.user_id)
        yield payment
        outcome = settle_reversals(payment_id=payment_id)
    if outcome == "unsettled":
        settle_reversals(payment_id=payment_id)


def settle_reversals(*, payment_id: int) -> str:
    """Make the credits taken back match the money taken back; return the outcome.

    `posted`, `nothing`, or `insufficient` when the customer has spent them: the rest is owed, and taken in the
    transaction of the next credit. Repeating it does nothing. What is left of the purchase's own grant has to be known;
    a long history is settled first, in transactions of its own, or within another transaction left for a later call
    (`unsettled`).
    """
    outcome: Any = call("ledger_settle_reversals", p_payment_id=payment_id)
    if outcome.outcome == "unsettled" and not connection.in_atomic_block:
        settle_grants(user_id=Payment.objects.values_list("user_id", flat=True).get(pk=payment_id))
        outcome = call("ledger_settle_reversals", p_payment_id=payment_id)
    return str(outcome.outcome)
