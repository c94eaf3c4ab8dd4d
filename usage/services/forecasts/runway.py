"""How long credits last at a steady rate, when some of them expire before they are burnt: exact, and nothing but sums.

Times are days from now, as fractions, so that no step of it rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

ZERO = Decimal(0)


class GrantAhead(NamedTuple):
    """What is left of one lot, and in how many days that is gone; None: never."""

    credits: Decimal
    expires_in_days: Fraction | None = None


@dataclass(frozen=True)
class Runway:
    """How it goes on at that rate: `days` until nothing is left (None: nothing burns), and what expires unspent.

    `unspent` has the days and credits of each loss, the first one first.
    """

    days: Fraction | None
    unspent: tuple[tuple[Fraction, Fraction], ...] = ()

    def unspent_within(self, days: int) -> Fraction:
        """Add up what expires unspent in the next so many days, in credits."""
        return sum((credits for at, credits in self.unspent if at <= days), Fraction(0))


def spend(lots: Sequence[GrantAhead], credits: Decimal) -> list[GrantAhead]:
    """Take credits from lots in their order; those that are used up are not in the answer."""
    left = []
    for lot in lots:
        part = min(lot.credits, credits)
        credits -= part
        if lot.credits > part:
            left.append(lot._replace(credits=lot.credits - part))
    return left


def runway_of(lots: Sequence[GrantAhead], rate: Decimal) -> Runway:
    """Burn lots in their order at `rate` credits a day; what is left of one at its end is lost.

    A lot whose time is now, or was, is lost at once.
    """
    burning = Fraction(rate)
    left = [Fraction(lot.credits) for lot in lots]
    total, at, first = sum(left, Fraction(0)), Fraction(0), 0
    unspent: list[tuple[Fraction, Fraction]] = []
    ends = sorted((lot.expires_in_days, place) for place, lot in enumerate(lots) if lot.expires_in_days is not None)
    for end, place in ends:
        span = max(end - at, Fraction(0))
        if rate > 0 and total <= burning * span:
            return Runway(at + total / burning, tuple(unspent))
        first, burnt = _burn(left, first, burning * span)
        total, at = total - burnt, max(end, at)
        if left[place]:
            unspent.append((at, left[place]))
            total -= left[place]
            left[place] = Fraction(0)
    if rate <= 0:
        return Runway(None, tuple(unspent))
    return Runway(at + total / burning, tuple(unspent))


def _burn(left: list[Fraction], first: int, credits: Fraction) -> tuple[int, Fraction]:
    """Take credits from the front of what is left; answers where the front is now, and how much was there to take."""
    burnt = Fraction(0)
    while first < len(left):
        part = min(left[first], credits - burnt)
        left[first] -= part
        burnt += part
        if left[first]:
            break
        first += 1
    return first, burnt
