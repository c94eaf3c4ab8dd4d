"""Money of payments: whole minor units of a currency, as providers count it, and how people read it."""

from __future__ import annotations

from decimal import Decimal

# Decimal places of currencies that do not have two. Source: ISO 4217; Stripe counts in the same units.
_PLACES = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3)


class NotInThisCurrency(ValueError):
    """An amount has more decimal places than its currency."""


def places_of(currency: str) -> int:
    """Return how many decimal places a currency has."""
    return _PLACES.get(currency, 2)


def in_major_units(minor: int, currency: str) -> Decimal:
    """Convert 1250 minor units to 12.50, or to 1250 if the currency has no smaller unit."""
    return Decimal(minor).scaleb(-places_of(currency))


def in_minor_units(money: Decimal, currency: str) -> int:
    """Convert 12.50 to 1250 minor units.

    :raises NotInThisCurrency: if the result is not a whole number
    """
    minor = money.scaleb(places_of(currency))
    if minor != int(minor):
        raise NotInThisCurrency(f"Amounts in {currency} have at most {places_of(currency)} decimal places.")
    return int(minor)


def shown_money(minor: int, currency: str) -> str:
    """Return an amount for people: `12.50 USD`."""
    return f"{in_major_units(minor, currency):,f} {currency}"
