"""The calculation that led from a price to the credits of a debit."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from config.values.credits import plain
from usage.models import Price

_PLACES = Decimal("0.000001")


def calculation_of(*, price: Price | None, units: Decimal | None, credits: Decimal, count: int) -> str | None:
    """Return `3 × 4 = 12`: units, credits a unit, and what was debited; None if the price did not decide it.

    It did not if the service named the credits, captured a part of a hold, or reported requests of which some cost
    their minimum.
    """
    if price is None or units is None:
        return None
    product = (units * price.credits).quantize(_PLACES, ROUND_HALF_UP)
    said = f"{_text(units)} × {_text(price.credits)}"
    if product == credits:
        return f"{said} = {_text(credits)}"
    if count == 1 and price.minimum == credits > product:
        return f"{said} = {_text(product)}, at least {_text(price.minimum)}"
    return None


def _text(number: Decimal) -> str:
    return f"{plain(number):f}"
