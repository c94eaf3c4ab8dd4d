"""Money of payments: whole minor units of a currency, as providers count it, and how people read it."""

from __future__ import annotations

from decimal import Decimal

# How many places a currency has, where that is not two. Source: ISO 4217; Stripe counts in the same units.
_PLACES = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3)


class NotInThisCurrency(ValueError):
    """An amount has more decimal places than its currency; the text says so."""


def places_of(currency: str) -> int:
    """Tell how many decimal places a currency has."""
    return _PLACES.get(currency, 2)


def in_major_units(minor: int, currency: str) -> Decimal:
    """Turn 1250 minor units into 12.50, or into 1250 where a currency has no smaller unit."""
    return Decimal(minor).scaleb(-places_of(currency))


def in_minor_units(money: Decimal, currency: str) -> int:
    """Turn 12.50 into 1250 minor units.

    :raises NotInThisCurrency: if that is no whole number of them
    """
    minor = money.scaleb(places_of(currency))
    if minor != int(minor):
        raise NotInThisCurrency(f"Amounts in {currency} have at most {places_of(currency)} decimal places.")
    return int(minor)


def shown_money(minor: int, currency: str) -> str:
    """Print an amount for people: `12.50 USD`."""
    return f"{in_major_units(minor, currency):,f} {currency}"
