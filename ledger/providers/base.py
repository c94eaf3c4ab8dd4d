"""What every payment provider can do, in words that are none's own.

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
    """Nobody knows what the provider did, if anything: asked again later, it will say."""


class Refused(Exception):
    """The provider has done nothing, and says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ShapeNotUnderstood(ValueError):
    """The provider says something in a form that we do not know: never to be passed over."""


@dataclass(frozen=True)
class Order:
    """What is to be paid, and what is known of it at the provider; `key` is its idempotency key there."""

    key: uuid.UUID
    amount_minor: int
    currency: str
    description: str
    customer_id: str
    method_id: str | None = None  # the saved card to charge; None: the customer pays on the provider's page
    provider_payment_id: str | None = None
    checkout_id: str | None = None
    is_customer_away: bool = False  # nobody sits before a screen, as the bank may want to know


@dataclass(frozen=True)
class Answer:
    """Where a payment stands at the provider, and what it is for there: to be held against our own row."""

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
    """One payment in the provider's own books; `key` is ours for it. None where the provider does not say."""

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
class Card:
    """A saved card, as far as anybody but the provider may know it."""

    method_id: str
    customer_id: str | None
    brand: str
    last4: str
    expiry_month: int
    expiry_year: int
    fingerprint: str | None = None  # of the card itself: the same however often it is saved


@dataclass(frozen=True)
class CardSaving:
    """A card that is about to be saved: the customer goes on with the provider's own script, by this secret."""

    id: str
    client_secret: str


class Provider(Protocol):
    """Takes money. Every call may raise NoAnswer; those that do something may raise Refused.

    What the provider sends unasked is read by its other half, `webhooks.ProviderWebhooks`.
    """

    name: str

    def create_customer(self, *, user_id: int, email: str, key: uuid.UUID) -> str:
        """Make the customer known; answers the provider's name for them."""

    def charge(self, order: Order) -> Answer:
        """Charge the order's card at once. Repetition with the order's key charges nothing more."""

    def start_checkout(self, order: Order) -> Answer:
        """Open a page on which the customer pays, and saves the card. Repetition opens no other."""

    def look_up(self, order: Order) -> Answer | None:
        """Tell what became of an order; None: it never arrived."""

    def cancel(self, order: Order) -> Answer:
        """Let an order that nobody has paid be paid no more; answers where it stands then."""

    def statements(self, orders: Iterable[Order], *, since: dt.datetime) -> Iterator[Statement]:
        """Tell of every payment of ours that was begun since, also of those that are not among our `orders`."""

    def disputes(self, *, since: dt.datetime) -> Iterator[DisputeStatement] | None:
        """Tell of every dispute that was begun since, of whichever payments; None: it keeps no list."""

    def start_saving_card(self, *, customer_id: str, key: uuid.UUID) -> CardSaving:
        """Begin to save a card without charging it."""

    def card(self, method_id: str) -> Card:
        """Tell what a saved card looks like."""

    def forget_card(self, method_id: str) -> None:
        """Let a saved card be charged no more. Repetition does nothing."""
