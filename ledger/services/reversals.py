"""Reversals: money that a provider took back takes its credits with it, as far as they are still there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Least

from config.db.calls import call
from ledger.models import DisputeStatus, Payment, PaymentDispute
from ledger.services.distrust import distrust_disputed, distrust_refunded
from ledger.services.grants import settle_grants
from ledger.services.reload_switching import hold_balance


def note_refund(*, payment_id: int, refunded_minor: int, now: dt.datetime) -> None:
    """Note how much of a payment the provider has given back in all, and take back the credits.

    The sum never falls, so what arrives late or twice changes nothing. A refund of what auto-reload bought turns
    auto-reload off, in the same transaction.
    """
    with _noting(payment_id) as payment:
        rows = Payment.objects.filter(pk=payment_id, refunded_minor__lt=Least(refunded_minor, "amount_minor"))
        if rows.update(refunded_minor=Least(refunded_minor, "amount_minor")):
            distrust_refunded(payment, now=now)


def note_dispute(
    *, payment_id: int, provider_dispute_id: str, amount_minor: int, status: DisputeStatus, now: dt.datetime
) -> None:
    """Note a dispute and where it stands, and take back the credits, or give them back when it was won.

    A dispute that has come to its end stays there: what arrives late changes nothing. One that is heard of for the
    first time, and was not won, turns auto-reload off and is told to the staff, in the same transaction.
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
    """Let something be noted of a payment while its customer's balance is held, and take or give what follows.

    All in one transaction; only where a long history has to be settled first, which takes several, credits follow it.
    """
    with transaction.atomic():
        payment = Payment.objects.select_related("user").get(pk=payment_id)
        hold_balance(user_id=payment.user_id)
        yield payment
        outcome = settle_reversals(payment_id=payment_id)
    if outcome == "unsettled":
        settle_reversals(payment_id=payment_id)


def settle_reversals(*, payment_id: int) -> str:
    """Bring the credits taken back in line with the money taken back; answers the outcome.

    `posted`, `nothing`, or `insufficient` when the customer has spent them: the rest is owed, and taken in the
    transaction of whatever comes in. Repetition does nothing. What of the purchase's own grant is left has to be
    known; a long history is settled first, in transactions of its own, or within another transaction left for a later
    call (`unsettled`).
    """
    outcome: Any = call("ledger_settle_reversals", p_payment_id=payment_id)
    if outcome.outcome == "unsettled" and not connection.in_atomic_block:
        settle_grants(user_id=Payment.objects.values_list("user_id", flat=True).get(pk=payment_id))
        outcome = call("ledger_settle_reversals", p_payment_id=payment_id)
    return str(outcome.outcome)
