"""What providers tell unasked, in words that are none's own: their webhooks are read into these."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from ledger.models import DisputeStatus
from ledger.providers.base import Answer


@dataclass(frozen=True)
class Which:
    """By what a message names a payment: our own key, or the provider's names for it."""

    key: uuid.UUID | None = None
    provider_payment_id: str | None = None
    checkout_id: str | None = None


@dataclass(frozen=True)
class PaymentNews:
    """Where a payment stands now."""

    which: Which
    answer: Answer


@dataclass(frozen=True)
class RefundNews:
    """How much of a payment was given back so far."""

    which: Which
    refunded_minor: int  # in all
    currency: str


@dataclass(frozen=True)
class SingleRefundNews:
    """One refund of a payment, which may still fail, or has."""

    which: Which
    provider_refund_id: str
    amount_minor: int
    currency: str
    has_failed: bool


@dataclass(frozen=True)
class DisputeNews:
    """A customer disputes a payment, or such a dispute has ended."""

    which: Which
    provider_dispute_id: str
    amount_minor: int
    currency: str
    status: DisputeStatus


@dataclass(frozen=True)
class CardNews:
    """A card was saved for a customer, or removed (then there is none)."""

    method_id: str
    customer_id: str | None


News = PaymentNews | RefundNews | SingleRefundNews | DisputeNews | CardNews
