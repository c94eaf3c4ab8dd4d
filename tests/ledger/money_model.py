"""A model of a customer's money in a few lines of plain Python: grants, debits, reversals, overdrafts and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
NEVER = float("inf")


def order_of_newest(*, priority: int = 50, ends_at: float = NEVER, is_paid: bool = True) -> tuple[object, ...]:
    """Return the burn-down position of a new grant: last among those with the same terms, until its seq is known."""
    return (priority, ends_at, is_paid, Decimal("inf"), 0)


@dataclass
class Held:
    left: Decimal
    ends_at: float


@dataclass
class ModelGrant:
    """One grant. Its seq and terms are read from the database when first seen; what is left of it never is."""

    left: Decimal
    seq: int = 0
    order: tuple[object, ...] = ()
    ends_at: float = NEVER
    has_ended: bool = False
    expired: Decimal = ZERO


Share = tuple[ModelGrant | None, Decimal]


@dataclass
class Taken:
    """What was drawn and not given back, share by share; giving back starts with the last share."""

    pile: list[Share] = field(default_factory=list)

    @property
    def credits(self) -> Decimal:
        return sum((part for _, part in self.pile), ZERO)

    def pop(self, credits: Decimal) -> list[Share]:
        popped = []
        while credits:
            grant, part = self.pile.pop()
            popped.append((grant, min(part, credits)))
            if part > credits:
                self.pile.append((grant, part - credits))
            credits -= popped[-1][1]
        return popped


@dataclass
class Purchase:
    credits: Decimal
    grant: ModelGrant
    refunded: Decimal = ZERO  # share of the money, from 0 to 1
    disputed: dict[str, Decimal] = field(default_factory=dict)
    reversed: Taken = field(default_factory=Taken)
    is_owing: bool = False  # credits to be taken back were not available when last settled

    @property
    def owed(self) -> Decimal:
        """Return what is still to be taken back; negative if it is to be given back."""
        gone = min(Decimal(1), self.refunded + sum(self.disputed.values(), ZERO))
        return round(self.credits * gone, 6) - self.reversed.credits


@dataclass
class Money:
    """The money of one customer."""

    limit: Decimal = ZERO
    now: float = 0
    period_ends_at: float = NEVER
    per_period: Decimal = ZERO
    overdrawn: Decimal = ZERO
    grants: list[ModelGrant] = field(default_factory=list)
    holds: dict[int, Held] = field(default_factory=dict)
    debits: dict[int, Taken] = field(default_factory=dict)
    purchases: dict[int, Purchase] = field(default_factory=dict)

    @property
    def balance(self) -> Decimal:
        return sum((grant.left for grant in self.grants), ZERO) - self.overdrawn

    @property
    def reserved(self) -> Decimal:
        return sum((hold.left for hold in self.holds.values()), ZERO)

    @property
    def available(self) -> Decimal:
        return self.balance - self.reserved

    def may_spend(self, credits: Decimal) -> bool:
        return self.available + self.limit >= credits

    def bring(self, credits: Decimal, **terms: Any) -> ModelGrant:
        """Add a new grant; it first pays what is overdrawn."""
        grant = ModelGrant(credits - self._pay(credits), order=order_of_newest(**terms))
        self.grants.append(grant)
        return grant

    def take(self, credits: Decimal, *, own: ModelGrant | None = None, is_capture: bool = False) -> list[Share]:
        """Draw on grants in burn-down order: a reversal first on its own grant, a capture first on ended ones."""
        in_order = sorted(self.grants, key=lambda grant: grant.order)
        kept = [grant for grant in in_order if grant.has_ended] if is_capture else []
        shares: list[Share] = []
        for grant in [*([own] if own is not None else []), *kept, *(one for one in in_order if not one.has_ended)]:
            part = min(grant.left, credits)
            if part:
                grant.left -= part
                credits -= part
                shares.append((grant, part))
        self.overdrawn += credits
        return [*shares, (None, credits)] if credits else shares

    def give_back(self, taken: Taken, credits: Decimal) -> None:
        """Pay what is overdrawn, and return the rest to the grants it came from, or to a new grant."""
        taken.pop(paid := self._pay(credits))
        fresh = ZERO
        for grant, part in taken.pop(credits - paid):
            if grant is None:
                fresh += part
            else:
                grant.left += part
        if fresh:
            self.grants.append(ModelGrant(fresh, order=order_of_newest()))
        self.trim()

    def settle(self, purchase: Purchase) -> None:
        """Bring what is taken back of a purchase in line with its money, as far as credits are available."""
        owed = purchase.owed
        if owed > 0:
            part = max(min(owed, self.available + self.limit), ZERO)
            purchase.reversed.pile += self.take(part, own=purchase.grant)
        elif owed < 0:
            self.give_back(purchase.reversed, -owed)
        purchase.is_owing = purchase.owed > 0

    def take_what_is_owed(self) -> None:
        """Take what was not available before, the oldest purchase first."""
        for purchase in self.purchases.values():
            if purchase.is_owing:
                self.settle(purchase)

    def release(self, hold_id: int) -> None:
        del self.holds[hold_id]
        self.trim()

    def capture(self, hold_id: int, credits: Decimal, *, is_final: bool) -> list[Share]:
        shares = self.take(credits, is_capture=True)
        self.holds[hold_id].left -= credits
        if is_final or not self.holds[hold_id].left:
            del self.holds[hold_id]
        self.trim()
        return shares

    def pass_time(self, until: float) -> None:
        """Expire holds, end grants and begin a period, each at its own time."""
        events: list[tuple[float, int, object]] = [
            *((hold.ends_at, 0, hold_id) for hold_id, hold in self.holds.items()),
            *((grant.ends_at, 1, grant) for grant in self.grants if not grant.has_ended),
            (self.period_ends_at, 2, None),
        ]
        for at, _, what in sorted(events, key=lambda event: event[:2]):
            if at > until:
                break
            if isinstance(what, ModelGrant):
                what.has_ended = True
                self.trim()
            elif isinstance(what, int):
                self.release(what)
            else:
                self.bring(self.per_period)
        self.now = until

    def _pay(self, credits: Decimal) -> Decimal:
        paid = min(self.overdrawn, credits)
        self.overdrawn -= paid
        return paid

    def trim(self) -> None:
        """Expire what ended grants hold beyond the reserved credits, the latest to end first."""
        ended = [grant for grant in self.grants if grant.has_ended and grant.left]
        excess = sum((grant.left for grant in ended), ZERO) - self.reserved
        for grant in sorted(ended, key=lambda grant: grant.ends_at, reverse=True):
            part = min(max(excess, ZERO), grant.left)
            grant.left -= part
            grant.expired += part
            excess -= part
