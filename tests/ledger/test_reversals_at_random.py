"""Reversals of entries of every kind, in any order with charges, adjustments and expiries: every promise is kept."""

import random
from contextlib import suppress
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.errors import LedgerRefusal
from ledger.models import Entry
from ledger.selectors import balance_of, left_to_reverse
from ledger.services.grants import settle_grants
from tests.factories import StaffFactory, customer_with
from tests.ledger.adjusting import ask, limited, reverse
from tests.ledger.granting import end, granted
from tests.ledger.posting import allow_overdraft
from tests.usage.metering import charge, price, refund, report, request_at
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = 30
WAYS = (
    "charge",
    "charge",
    "batch",
    "gain",
    "loss",
    "grant",
    "reverse",
    "reverse",
    "reverse",
    "refund",
    "end",
    "settle",
)


class History:
    """One customer, to whom things happen; refusals are part of it."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.user = customer_with(20)
        self.clerk = limited(StaffFactory(), single=10**6, daily=10**8)
        self.gifts: list[Entry] = []
        price("search", "1.5")
        allow_overdraft(self.user, self.draw.choice([1, 15]))

    def step(self) -> None:
        with suppress(LedgerRefusal):
            getattr(self, self.draw.choice(WAYS))()

    def credits(self) -> Decimal:
        return self.draw.choice([Decimal(1), Decimal("2.5"), Decimal(12), Decimal("0.000001"), Decimal(30)])

    def charge(self) -> None:
        charge(self.user, credits=self.credits())

    def batch(self) -> None:
        report(self.user, [request_at(timezone.now()) for _ in range(self.draw.randrange(1, 5))], charged=True)

    def gain(self) -> None:
        ask(self.user, self.credits(), by=self.clerk)

    def loss(self) -> None:
        ask(self.user, -self.credits(), by=self.clerk)

    def grant(self) -> None:
        self.gifts.append(granted(self.user, self.credits(), days=self.draw.choice([None, 1, 30])))

    def end(self) -> None:
        if self.gifts:
            gift = self.gifts.pop(self.draw.randrange(len(self.gifts)))
            if balance_of(user_id=self.user.pk).available and gift.reverses_id is None:
                end(gift)

    def refund(self) -> None:
        debit = self.draw.choice(list(Entry.objects.of(self.user.pk).filter(operation="charge")) or [None])
        if debit is not None:
            refund(debit.pk, self.credits())

    def reverse(self) -> None:
        entry = self.draw.choice(list(Entry.objects.of(self.user.pk)))
        left = left_to_reverse(entry)
        part = self.draw.choice([left, round(left / 3, 6), self.credits()])
        if part:
            reverse(entry, -part if entry.amount > 0 else part, by=self.clerk)

    def settle(self) -> None:
        settle_grants(user_id=self.user.pk)


@pytest.mark.parametrize("seed", range(12))
def test_every_promise_is_kept_whatever_is_reversed(seed):
    history = History(seed)
    for _ in range(STEPS):
        history.step()

    settle_grants(user_id=history.user.pk)

    assert Entry.objects.of(history.user.pk).filter(operation="adjustment", reverses__isnull=False).exists()
    assert reconcile(Scope())[1] == []
