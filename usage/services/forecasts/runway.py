"""Compute exactly how long credits last at a steady rate, when some of them expire before they are used.

Times are days from now, as fractions, so that no step rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

ZERO = Decimal(0)


class GrantAhead(NamedTuple):
    """What is left of one grant, and the days until it expires; None: never."""

    credits: Decimal
    expires_in_days: Fraction | None = None


@dataclass(frozen=True)
class Runway:
    """The future at a steady rate: `days` until nothing is left (None: the rate is 0), and what expires unspent.

    `unspent` lists the time, in days from now, and the credits of each loss, the earliest first.
    """

    days: Fraction | None
    unspent: tuple[tuple[Fraction, Fraction], ...] = ()

    def unspent_within(self, days: int) -> Fraction:
        """Return the credits that expire unspent within this number of days."""
        return sum((credits for at, credits in self.unspent if at <= days), Fraction(0))


def spend(grants: Sequence[GrantAhead], credits: Decimal) -> list[GrantAhead]:
    """Spend credits from grants in their order, and return those that are not used up."""
    left = []
    for grant in grants:
        part = min(grant.credits, credits)
        credits -= part
        if grant.credits > part:
            left.append(grant._replace(credits=grant.credits - part))
    return left


def runway_of(grants: Sequence[GrantAhead], rate: Decimal) -> Runway:
    """Use up grants in their order at `rate` credits a day; what is left of one at its expiry is lost.

    A grant that expires now, or has expired, is lost at once.
    """
    burning = Fraction(rate)
    left = [Fraction(grant.credits) for grant in grants]
    total, at, first = sum(left, Fraction(0)), Fraction(0), 0
    unspent: list[tuple[Fraction, Fraction]] = []
    ends = sorted(
        (grant.expires_in_days, place) for place, grant in enumerate(grants) if grant.expires_in_days is not None
    )
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
    """Spend credits from index `first` on; return the index of the first grant left, and how much was spent."""
    burnt = Fraction(0)
    while first < len(left):
        part = min(left[first], credits - burnt)
        left[first] -= part
        burnt += part
        if left[first]:
            break
        first += 1
    return first, burnt
