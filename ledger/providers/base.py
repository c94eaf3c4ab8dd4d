"""The outgoing half of a payment provider: the calls that every provider supports, in provider-neutral terms.

Nothing here or below touches the database, and nothing of it is called inside a transaction.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ledger.models import DisputeStatus, PaymentState


class NoAnswer(Exception):
    """The provider did not answer, so the outcome is unknown until it is asked again."""


class Refused(Exception):
    """The provider refused the call, and did nothing."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ShapeNotUnderstood(ValueError):
    """An object of the provider's has an unknown form. It is never ignored."""


@dataclass(frozen=True)
class Order:
    """A payment as the provider is asked for it; `key` is its idempotency key there."""

    key: uuid.UUID
    amount_minor: int
    currency: str
    description: str
    customer_id: str
    method_id: str | None = None  # the saved card to charge; None: the customer pays on the provider's page
    provider_payment_id: str | None = None
    checkout_id: str | None = None
    is_customer_away: bool = False  # off session: the customer cannot confirm the payment now


@dataclass(frozen=True)
class Answer:
    """The state of a payment at the provider, with its terms there, to be compared with our own row."""

    state: PaymentState
    amount_minor: int | None = None
    currency: str | None = None
    customer_id: str | None = None
    provider_payment_id: str | None = None
    checkout_id: str | None = None
    method_id: str | None = None
    action_url: str | None = None
    client_secret: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None


@dataclass(frozen=True)
class Statement:
    """One payment in the provider's own books; `key` is our key for it. Fields that the provider omits are None."""

    key: uuid.UUID
    state: PaymentState
    amount_minor: int | None
    currency: str | None
    refunded_minor: int | None
    provider_payment_id: str | None


@dataclass(frozen=True)
class DisputeStatement:
    """One dispute in the provider's own books."""

    provider_dispute_id: str
    provider_payment_id: str
    amount_minor: int
    currency: str
    status: DisputeStatus


@dataclass(frozen=True)
class Refunded:
    """One refund at the provider; `refunded_minor` is the total of its payment by then, if the provider tells."""

    provider_refund_id: str
    amount_minor: int
    currency: str
    has_failed: bool = False
    refunded_minor: int | None = None


@dataclass(frozen=True)
class Card:
    """A saved card, without its number."""

    method_id: str
    customer_id: str | None
    brand: str
    last4: str
    expiry_month: int
    expiry_year: int
    fingerprint: str | None = None  # of the card itself: the same however often it is saved


@dataclass(frozen=True)
class CardSaving:
    """A card to be saved: the provider's script continues in the customer's browser with this secret."""

    id: str
    client_secret: str


class Provider(Protocol):
    """Charges customers. Every call may raise NoAnswer; those that change something may raise Refused.

    The webhooks that the provider sends are read by its other half, `webhooks.ProviderWebhooks`.
    """

    name: str

    def create_customer(self, *, user_id: int, email: str, key: uuid.UUID) -> str:
        """Create the customer at the provider; return the provider's id of the customer."""

    def charge(self, order: Order) -> Answer:
        """Charge the order's card at once. Repeating it with the order's key charges nothing more."""

    def start_checkout(self, order: Order) -> Answer:
        """Open a page on which the customer pays and saves the card. Repeating it opens no second page."""

    def look_up(self, order: Order) -> Answer | None:
        """Return the state of an order; None if the provider never received it."""

    def cancel(self, order: Order) -> Answer:
        """Cancel an order that is not paid; return its resulting state."""

    def refund(self, order: Order, *, key: uuid.UUID, amount_minor: int) -> Refunded:
        """Give back what was paid for an order, or a part of it. Repeating it with its key gives back no more.

        A provider whose webhooks report totals alone has to tell the total here, too.
        """

    def look_up_refund(self, order: Order, *, key: uuid.UUID) -> Refunded | None:
        """Return the refund that was asked for with this key; None if the provider never received it."""

    def statements(self, orders: Iterable[Order], *, since: dt.datetime) -> Iterator[Statement]:
        """Return every payment of ours that began since then, including those that are not among `orders`."""

    def disputes(self, *, since: dt.datetime) -> Iterator[DisputeStatement] | None:
        """Return every dispute that began since then, of any payment; None if the provider has no such list."""

    def start_saving_card(self, *, customer_id: str, key: uuid.UUID) -> CardSaving:
        """Start to save a card without charging it."""

    def card(self, method_id: str) -> Card:
        """Return the details of a saved card."""

    def forget_card(self, method_id: str) -> None:
        """Detach a saved card, so that it can no longer be charged. Repeating it does nothing."""
