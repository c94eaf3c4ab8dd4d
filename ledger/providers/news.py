"""News: what a provider's webhook reports, in provider-neutral terms."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from ledger.models import DisputeStatus
from ledger.providers.base import Answer


@dataclass(frozen=True)
class PaymentReference:
    """How a webhook identifies a payment: by our own key, or by the provider's ids."""

    key: uuid.UUID | None = None
    provider_payment_id: str | None = None
    checkout_id: str | None = None


@dataclass(frozen=True)
class PaymentNews:
    """The state of a payment."""

    reference: PaymentReference
    answer: Answer


@dataclass(frozen=True)
class RefundNews:
    """The total of a payment that was refunded so far."""

    reference: PaymentReference
    refunded_minor: int  # in total, not only now
    currency: str


@dataclass(frozen=True)
class SingleRefundNews:
    """One refund of a payment, and whether it failed."""

    reference: PaymentReference
    provider_refund_id: str
    amount_minor: int
    currency: str
    has_failed: bool


@dataclass(frozen=True)
class DisputeNews:
    """A dispute of a payment, and its status."""

    reference: PaymentReference
    provider_dispute_id: str
    amount_minor: int
    currency: str
    status: DisputeStatus


@dataclass(frozen=True)
class CardNews:
    """A card that was saved for a customer, or removed (`customer_id` is None)."""

    method_id: str
    customer_id: str | None


News = PaymentNews | RefundNews | SingleRefundNews | DisputeNews | CardNews
