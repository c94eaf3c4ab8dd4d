"""Reversals: money that a provider took back takes its credits with it, as far as they are still there."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Greatest, Least

from config.db.calls import call
from ledger.models import DisputeStatus, Payment, PaymentDispute


def note_refund(*, payment_id: int, refunded_minor: int) -> None:
    """Note how much of a payment the provider has given back in all, and take back the credits.

    The sum never falls, so what arrives late or twice changes nothing.
    """
    Payment.objects.filter(pk=payment_id, refunded_minor__lt=refunded_minor).update(
        refunded_minor=Greatest("refunded_minor", Least(refunded_minor, "amount_minor"))
    )
    settle_reversals(payment_id=payment_id)


def note_dispute(*, payment_id: int, provider_dispute_id: str, amount_minor: int, status: DisputeStatus) -> None:
    """Note a dispute and where it stands, and take back the credits, or give them back when it was won.

    A dispute that has come to its end stays there: what arrives late changes nothing.
    """
    fresh = PaymentDispute(
        payment_id=payment_id, provider_dispute_id=provider_dispute_id, amount_minor=amount_minor, status=status
    )
    PaymentDispute.objects.bulk_create([fresh], ignore_conflicts=True)
    PaymentDispute.objects.filter(
        payment_id=payment_id, provider_dispute_id=provider_dispute_id, status=DisputeStatus.OPEN
    ).update(status=status)
    settle_reversals(payment_id=payment_id)


def settle_reversals(*, payment_id: int) -> str:
    """Bring the credits taken back in line with the money taken back; answers the outcome.

    `posted`, `nothing`, or `insufficient` when the customer has spent them: a later call takes the rest. Repetition
    does nothing.
    """
    outcome: Any = call("ledger_settle_reversals", p_payment_id=payment_id)
    return str(outcome.outcome)
