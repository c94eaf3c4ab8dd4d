"""Prices of auto-reload: what it buys and what that costs. No database."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from math import ceil
from typing import NamedTuple

from django.conf import settings

from config.values.money import in_minor_units, places_of
from ledger.models import AutoReload, PaymentMethod

LARGEST_CHARGE_MINOR = 99_999_999  # in any currency: Stripe accepts eight digits at most
_THOUSAND = 1_000
_MICRO = 1_000_000
_ONE_MICRO = Decimal("0.000001")


class Rate(NamedTuple):
    """Price of 1,000 credits, in the currency's smallest unit."""

    price_minor: int
    currency: str

    def price_of(self, credits: Decimal) -> int:
        """Return the price of credits in the smallest unit, rounded up."""
        exact = credits * self.price_minor / _THOUSAND
        return int(exact.to_integral_value(rounding=ROUND_CEILING))

    def credits_within(self, minor: int) -> Decimal:
        """Return the most credits, to six places, that cost no more than `minor`."""
        return Decimal(max(minor, 0) * _THOUSAND * _MICRO // self.price_minor).scaleb(-6)

    def least_credits(self) -> Decimal:
        """Return the fewest credits, to six places, that cost the smallest payment."""
        exact = Decimal(smallest_charge(self.currency) * _THOUSAND) / self.price_minor
        return exact.quantize(_ONE_MICRO, rounding=ROUND_CEILING)


def offered_rate() -> Rate | None:
    """Return the site's price for auto-reload; None if it does not offer it."""
    if settings.AUTO_RELOAD_PRICE is None:
        return None
    price, currency = settings.AUTO_RELOAD_PRICE
    return Rate(in_minor_units(price, currency), currency)


def smallest_charge(currency: str) -> int:
    """Return the smallest payment, in the smallest unit: 0.50, as providers require."""
    return 500 if places_of(currency) == 3 else 50


@dataclass(frozen=True)
class Terms:
    """The terms to which a customer consented, or is about to: credits, and money in the smallest unit."""

    threshold: Decimal
    amount: Decimal | None
    target: Decimal | None
    monthly_cap_minor: int
    method: PaymentMethod

    @property
    def goal(self) -> Decimal:
        """Return the available credits that are enough."""
        return self.threshold if self.target is None else self.target

    @property
    def least(self) -> Decimal:
        """Return the credits of the smallest purchase."""
        return self.goal - self.threshold if self.amount is None else self.amount


def terms_of(reload: AutoReload) -> Terms:
    """Return the terms of a row that has all of them.

    :raises ValueError: if one is missing: it cannot be on
    """
    if reload.threshold is None or reload.monthly_cap_minor is None or reload.method is None:
        raise ValueError("These terms are not complete.")
    return Terms(reload.threshold, reload.amount, reload.target, reload.monthly_cap_minor, reload.method)


@dataclass(frozen=True)
class Purchase:
    """Credits and their price in the currency's smallest unit."""

    credits: Decimal
    price_minor: int


def purchase_for(terms: Terms, *, has: Decimal, left_minor: int, rate: Rate) -> Purchase | None:
    """Return the one purchase that closes the gap between what a customer `has`, or will have, and the terms.

    With an `amount`, it is the fewest multiples of it that reach the threshold; with a `target`, what reaches that.
    If `left_minor` (of the monthly cap) does not cover that, it is as much as it covers; None if it does not cover one
    amount or the smallest payment.
    """
    affordable = rate.credits_within(left_minor)
    if terms.amount is not None:
        times = max(ceil((terms.threshold - has) / terms.amount), ceil(rate.least_credits() / terms.amount))
        credits = terms.amount * min(times, int(affordable // terms.amount))
    else:
        credits = min(max(terms.goal - has, rate.least_credits()), affordable)
    if credits <= 0 or rate.price_of(credits) < smallest_charge(rate.currency):
        return None
    return Purchase(credits, rate.price_of(credits))
