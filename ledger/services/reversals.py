"""Reversals: money that a provider took back takes its credits with it, as far as they are still there."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Least

from config.db.calls import call
from ledger.models import DisputeStatus, Payment, PaymentDispute
from ledger.services.distrust import distrust_disputed, distrust_refunded
from ledger.services.grants import settle_grants
from ledger.services.reload_switching import hold_balance


@transaction.atomic
def note_refund(*, payment_id: int, refunded_minor: int, now: dt.datetime) -> None:
    """Note how much of a payment the provider has given back in all, and take back the credits.

    The sum never falls, so what arrives late or twice changes nothing. A refund of what auto-reload bought turns
    auto-reload off, in the same transaction.
    """
    payment = _held_payment(payment_id)
    is_news = Payment.objects.filter(pk=payment_id, refunded_minor__lt=Least(refunded_minor, "amount_minor")).update(
        refunded_minor=Least(refunded_minor, "amount_minor")
    )
    settle_reversals(payment_id=payment_id)
    if is_news:
        distrust_refunded(payment, now=now)


@transaction.atomic
def note_dispute(
    *, payment_id: int, provider_dispute_id: str, amount_minor: int, status: DisputeStatus, now: dt.datetime
) -> None:
    """Note a dispute and where it stands, and take back the credits, or give them back when it was won.

    A dispute that has come to its end stays there: what arrives late changes nothing. One that is heard of for the
    first time, and was not won, turns auto-reload off and is told to the staff, in the same transaction.
    """
    payment = _held_payment(payment_id)
    dispute, is_news = PaymentDispute.objects.get_or_create(
        payment_id=payment_id,
        provider_dispute_id=provider_dispute_id,
        defaults={"amount_minor": amount_minor, "status": status},
    )
    PaymentDispute.objects.filter(pk=dispute.pk, status=DisputeStatus.OPEN).update(status=status)
    settle_reversals(payment_id=payment_id)
    if is_news and status != DisputeStatus.WON:
        distrust_disputed(payment, dispute, now=now)


def _held_payment(payment_id: int) -> Payment:
    """Give a payment whose customer's balance is held until the transaction ends."""
    payment = Payment.objects.select_related("user").get(pk=payment_id)
    hold_balance(user_id=payment.user_id)
    return payment


def settle_reversals(*, payment_id: int) -> str:
    """Bring the credits taken back in line with the money taken back; answers the outcome.

    `posted`, `nothing`, or `insufficient` when the customer has spent them: a later call takes the rest. Repetition
    does nothing. What of the purchase's own grant is left has to be known; a long history is settled first, in
    transactions of its own, or within another transaction left for a later call (`unsettled`).
    """
    outcome: Any = call("ledger_settle_reversals", p_payment_id=payment_id)
    if outcome.outcome == "unsettled" and not connection.in_atomic_block:
        settle_grants(user_id=Payment.objects.values_list("user_id", flat=True).get(pk=payment_id))
        outcome = call("ledger_settle_reversals", p_payment_id=payment_id)
    return str(outcome.outcome)
