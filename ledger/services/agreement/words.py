"""Sentences about auto-reload: the one to which customers consent, and its status."""

from __future__ import annotations

import datetime as dt

from config.values.credits import plain
from config.values.money import shown_money
from ledger.models import AutoReload, OffReason, Payment, PaymentState
from ledger.services.agreement.pricing import Rate, Terms

OFF_SENTENCES = {
    OffReason.CUSTOMER: "You turned it off.",
    OffReason.STAFF: "Our staff turned it off.",
    OffReason.DECLINED: "It was turned off because three payments in a row were declined.",
    OffReason.METHOD_REMOVED: "It was turned off because its card was removed.",
    OffReason.PRICE_CHANGED: "It was turned off because the price is no longer the one that you agreed to.",
    OffReason.DISPUTED: "It was turned off because a payment was disputed.",
    OffReason.REFUNDED: "It was turned off because one of its payments was refunded.",
}


def consent_sentence(terms: Terms, rate: Rate) -> str:
    """Return the sentence to which a customer consents."""
    threshold = f"{plain(terms.threshold):,f}"
    card = f"{terms.method.brand.title()} ending in {terms.method.last4}"
    cap = shown_money(terms.monthly_cap_minor, rate.currency)
    if terms.amount is not None:
        price = shown_money(rate.price_of(terms.amount), rate.currency)
        what = (
            f"we charge your {card} {price} for {plain(terms.amount):,f} credits, or as many times that as it takes "
            f"to get back to {threshold}"
        )
    else:
        price = shown_money(rate.price_minor, rate.currency)
        what = f"we charge your {card} for the credits that bring you to {plain(terms.goal):,f}, at {price} a 1,000"
    return (
        f"When your available credits fall below {threshold}, {what}, in one payment; "
        f"and at most {cap} in a calendar month (UTC)."
    )


def status_sentence(reload: AutoReload | None, payment: Payment | None, *, now: dt.datetime) -> str:
    """Return the status of auto-reload as a sentence; `payment` is the one in progress."""
    if payment is not None and payment.state == PaymentState.REQUIRES_ACTION:
        return "Your bank wants you to confirm a payment; nothing more is charged until you do, or its time is over."
    if payment is not None:
        return "A payment has begun, and its outcome is not known yet."
    if reload is None or not reload.enabled:
        why = "" if reload is None or reload.off_reason is None else f" {OFF_SENTENCES[OffReason(reload.off_reason)]}"
        return f"Auto-reload is off.{why}"
    if reload.next_attempt_at is None or reload.next_attempt_at <= now:
        return "Auto-reload is on."
    again = f"{reload.next_attempt_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
    if reload.cap_reached_in is not None:
        return f"This month's cap is reached; it continues at {again}."
    if reload.declines_in_a_row:
        return f"The last payment was declined; the card is tried again at {again} at the earliest."
    return f"Auto-reload is on; the next payment is made at {again} at the earliest."
