"""The ledger's refusals: domain errors, each with a sentence for the caller."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings

from config.values.credits import plain
from config.values.money import shown_money
from config.values.timestamps import instant_text


class LedgerRefusal(Exception):
    """Base of the ledger's refusals; `str()` is a sentence for the caller, `extra` goes into the error response."""

    extra: dict[str, Any] = {}  # noqa: RUF012  read-only default


class IdempotencyKeyReused(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("This idempotency key was already used with another payload.")


@dataclass(frozen=True)
class Budget:
    """How much may be spent in a window of time, and how much of it is spent and held; in credits."""

    scope: str
    window: str
    limit: Decimal
    spent: Decimal
    held: Decimal
    resets_at: dt.datetime

    @property
    def extra(self) -> dict[str, Any]:
        return {
            "scope": self.scope,
            "window": self.window,
            "limit": plain(self.limit),
            "spent": plain(self.spent),
            "held": plain(self.held),
            "resets_at": self.resets_at,
        }


@dataclass
class InsufficientCredits(LedgerRefusal):
    """Not enough available credits, or more than a budget leaves; all amounts in credits."""

    required: Decimal
    available: Decimal
    reserved: Decimal
    reason: str
    next_hold_expires_at: dt.datetime | None = None
    budget: Budget | None = None

    def __str__(self) -> str:
        if self.budget is not None:
            return (
                f"The API key's spending limit is {plain(self.budget.limit)} credit(s), of which "
                f"{plain(self.budget.spent)} credit(s) are spent and {plain(self.budget.held)} held, but this request "
                f"requires {plain(self.required)} credit(s). It begins anew at {instant_text(self.budget.resets_at)}."
            )
        return (
            f"Insufficient credits. You have {plain(max(self.available, Decimal(0)))} credit(s) remaining, "
            f"but this request requires {plain(self.required)} credit(s)."
        )

    @property
    def extra(self) -> dict[str, Any]:  # type: ignore[override]
        return {
            "credits_required": self.required,
            "credits_available": self.available,
            "credits_reserved": self.reserved,
            "reason": self.reason,
            "next_hold_expires_at": self.next_hold_expires_at,
            "top_up_url": settings.TOP_UP_URL,
            **({} if self.budget is None else {"budget": self.budget.extra}),
        }


class BalanceLimitExceeded(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("The balance may not exceed 999999999.999999 credits.")


class GrantUntimely(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("Credits may neither begin to count later than now nor expire before.")


class GrantNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("There is no such grant.")


class GrantHasEnded(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("This grant has ended.")


class GrantIsUsed(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("Nothing is left of this grant.")


class GrantEndsLater(LedgerRefusal):
    """An extension has to be one."""

    def __init__(self) -> None:
        super().__init__("This grant ends later than that already, or never.")


class TermsUnchanged(LedgerRefusal):
    """The terms are already as requested: frozen, not frozen, or with this overdraft limit."""


class OverdraftLimitTooLow(LedgerRefusal):
    """The customer is overdrawn by more than the new limit would allow; in credits, holds included."""

    def __init__(self, *, overdrawn: Decimal) -> None:
        super().__init__(
            f"The customer is overdrawn by {plain(overdrawn):f} credit(s), holds included: "
            "the overdraft limit cannot be lower than that."
        )
        self.extra = {"credits_overdrawn": overdrawn}


class SubscriptionExists(LedgerRefusal):
    """A customer has one subscription at a time."""

    def __init__(self) -> None:
        super().__init__("The customer has a running subscription already; end that one first.")


class SubscriptionNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("The customer has no running subscription.")


class SubscriptionUnchanged(LedgerRefusal):
    """The subscription already is as requested, or its state does not allow the action."""


class SubscriptionUntimely(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("A subscription may not begin later than now, nor end before.")


class PlanNotOffered(LedgerRefusal):
    """The plan is not on offer, or not for this interval."""


class UnknownCustomer(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("There is no such customer.")


class HoldNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("There is no such hold.")


class HoldSettled(LedgerRefusal):
    """Base of the refusals to change a hold that is settled."""


class HoldCaptured(HoldSettled):
    def __init__(self) -> None:
        super().__init__("This hold was captured.")


class HoldReleased(HoldSettled):
    def __init__(self) -> None:
        super().__init__("This hold was released.")


class HoldExpired(HoldSettled):
    def __init__(self) -> None:
        super().__init__("This hold has expired.")


class CaptureExceedsHold(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("The amount exceeds what this hold still holds.")


class ChargeNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("There is no such charge.")


class RefundExceedsCharge(LedgerRefusal):
    """The refund exceeds what is left of a charge; `left` is in credits."""

    def __init__(self, left: Decimal) -> None:
        super().__init__(f"Only {plain(left)} credit(s) of this charge are left to refund.")
        self.left = left


class PaymentsOff(LedgerRefusal):
    """No payment provider is configured."""

    def __init__(self) -> None:
        super().__init__("This site takes no payments.")


class PaymentProviderAway(LedgerRefusal):
    """The provider could not be reached, and nothing was begun."""

    retry_after_seconds = 5

    def __init__(self) -> None:
        super().__init__("The payment provider does not answer. Nothing was charged; please try again.")


class PaymentProviderBusy(PaymentProviderAway):
    """All places for waiting requests to the provider are in use; this one was not sent, and nothing was begun."""

    def __init__(self) -> None:
        LedgerRefusal.__init__(self, "Payments are slow just now. Nothing was charged; please try again.")


class PackageNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("There is no such package.")


class PackageChanged(LedgerRefusal):
    """The package is not what the buyer expects; `extra` has its present terms. Nothing was charged."""

    def __init__(self, *, credits: Decimal, price: Decimal, currency: str) -> None:
        super().__init__(
            f"The package is {plain(credits):f} credits for {price:f} {currency} now. Nothing was charged: "
            "send these values to buy it."
        )
        self.extra = {"credits": credits, "price": price, "currency": currency}


class TooManyTopUps(LedgerRefusal):
    """The customer reached the limit of top-ups that fail within an hour."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("Too many payments were declined or not completed. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class TooManyNewCards(LedgerRefusal):
    """The customer reached the limit of new cards a day."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("Too many cards were saved today. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class PaymentMethodNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("There is no such payment method.")


class CardDisputed(LedgerRefusal):
    """A payment by this card is disputed, or was lost in a dispute; it cannot be charged."""

    def __init__(self) -> None:
        super().__init__("A payment by this card is disputed. It cannot be charged; please use another one.")


class PaymentNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("There is no such payment.")


class PaymentNotRefundable(LedgerRefusal):
    """There is nothing to refund, or nobody to ask for it."""

    def __init__(self, sentence: str = "This payment was not paid, so there is nothing to refund.") -> None:
        super().__init__(sentence)


class RefundUnderWay(LedgerRefusal):
    """The provider has not answered yet about an earlier refund of the payment."""

    def __init__(self) -> None:
        super().__init__(
            "A refund of this payment is under way, and the provider has not answered yet. It is asked again every few "
            "minutes: wait for that."
        )


class RefundExceedsPayment(LedgerRefusal):
    """The refund exceeds what is left of a payment, which neither refunds nor disputes have taken back."""

    def __init__(self, *, left_minor: int, currency: str) -> None:
        super().__init__(f"{shown_money(left_minor, currency)} of this payment are left to refund.")


class PaymentMismatch(LedgerRefusal):
    """The provider reports another amount, currency or customer than we asked for; nothing is credited."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The provider's {what} differs from the payment's.")


class WebhookSignatureInvalid(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("The signature is missing, wrong or too old.")


class WebhookNotUnderstood(LedgerRefusal):
    """A message of the provider has an unknown form; it is refused so that the provider sends it again."""


class ReceiptNotDue(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("There is no receipt: this payment was not paid.")


class EmailNotVerified(LedgerRefusal):
    """It is not known that the customer reads the address of the account, or they were deactivated."""

    def __init__(self) -> None:
        super().__init__("The customer's address is not verified, or they were deactivated: no receipt goes there.")


class TooManyReceipts(LedgerRefusal):
    """The customer was sent as many receipts again as are allowed in a day."""

    retry_after_seconds = 3600

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"This customer was sent {limit} receipts again within a day, which is the limit.")


class AutoReloadIsOff(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("Auto-reload is off already.")


class AutoReloadNotOffered(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("This site does not offer auto-reload.")


class ConsentRequired(LedgerRefusal):
    """Automatic purchases require that the customer agrees to this sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f'Send "consent": true to agree to this: {sentence}')
        self.extra = {"sentence": sentence}


class ReloadTermsRefused(LedgerRefusal):
    """These terms are invalid; `errors` has the sentences of each field."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        name, sentences = next(iter(errors.items()))
        super().__init__(f"{name}: {sentences[0]}")
        self.extra = {"errors": errors}
