"""The burn-down order: random calls, compared with a model of a few lines of plain Python."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger.errors import InsufficientCredits
from ledger.models import Entry, Grant, GrantCategory, Hold
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from ledger.services.reconciliation.checks import Scope
from tests.factories import UserFactory
from tests.ledger.granting import end, granted, left
from tests.ledger.posting import allow_overdraft, hold, post
from tests.usage.metering import captured, charge, refund
from usage.services.reconciliation import reconcile

ZERO = Decimal(0)
AMOUNTS = st.sampled_from([Decimal(text) for text in ("1", "2.5", "7", "0.000001", "12")])
CHOICE = st.integers(0, 20)


@dataclass
class ModelGrant:
    entry: Entry
    order: tuple[object, ...]
    left: Decimal
    expires: bool
    has_run_out: bool = False
    expired: Decimal = ZERO


@dataclass
class Debit:
    id: int
    amount: Decimal
    shares: list[tuple[ModelGrant | None, Decimal]]
    given_back: Decimal = ZERO


@dataclass
class Books:
    """The grants of one customer as they should be, computed at once, one call after another."""

    grants: list[ModelGrant] = field(default_factory=list)
    reserved: Decimal = ZERO
    overdrawn: Decimal = ZERO

    @property
    def balance(self) -> Decimal:
        return sum((each.left for each in self.grants), ZERO) - self.overdrawn

    def add(self, new: ModelGrant) -> None:
        paid = min(self.overdrawn, new.left)
        self.overdrawn -= paid
        new.left -= paid
        self.grants.append(new)

    def take(self, amount: Decimal, *, is_capture: bool = False) -> list[tuple[ModelGrant | None, Decimal]]:
        shares: list[tuple[ModelGrant | None, Decimal]] = []
        in_order = sorted(self.grants, key=lambda each: each.order)
        kept = [each for each in in_order if each.has_run_out] if is_capture else []
        for each in [*kept, *(each for each in in_order if not each.has_run_out)]:
            part = min(each.left, amount)
            if part:
                each.left -= part
                amount -= part
                shares.append((each, part))
        self.overdrawn += amount
        return [*shares, (None, amount)]

    def give_back(self, debit: Debit, amount: Decimal) -> Decimal:
        """Give back to the grants drawn on, the last first; return what no grant had paid."""
        paid = min(self.overdrawn, amount)
        self.overdrawn -= paid
        skip, rest, own = debit.given_back + paid, amount - paid, ZERO
        debit.given_back += amount
        for each, drawn in reversed(debit.shares):
            part = min(max(drawn - skip, ZERO), rest)
            skip = max(skip - drawn, ZERO)
            rest -= part
            if each is None:
                own += part
            else:
                each.left += part
        self.trim()
        return own

    def trim(self) -> None:
        """Expire what ended grants hold beyond the reserved credits, the latest expiry first."""
        gone = [each for each in self.grants if each.has_run_out]
        excess = sum((each.left for each in gone), ZERO) - self.reserved
        for each in sorted(gone, key=lambda each: each.entry.grant.expires_at, reverse=True):
            part = min(max(excess, ZERO), each.left)
            each.left -= part
            each.expired += part
            excess -= part


class Customer(RuleBasedStateMachine):
    @initialize(overdraft=st.sampled_from([0, 5]))
    def begin(self, overdraft: int) -> None:
        self.user = UserFactory(password=None)
        self.books, self.overdraft = Books(), Decimal(overdraft)
        self.holds: list[tuple[Hold, Decimal]] = []
        self.debits: list[Debit] = []
        if overdraft:
            allow_overdraft(self.user, overdraft)

    @rule(
        amount=AMOUNTS, days=st.sampled_from([None, 1, 2, 3]), priority=st.sampled_from([None, 10]),
        category=st.sampled_from([None, GrantCategory.PAID]),
    )  # fmt: skip
    def grant(self, amount, days, priority, category) -> None:
        entry = granted(self.user, amount, days=days, priority=priority, category=category)
        category = category or "promotional"
        expires_at = entry.grant.expires_at.timestamp() if days else float("inf")
        order = (priority or 50, expires_at, category != "promotional", entry.created_at, entry.pk)
        self.books.add(ModelGrant(entry, order, amount, days is not None))

    @rule(amount=AMOUNTS)
    def adjust(self, amount: Decimal) -> None:
        entry = post(self.user, amount).entry
        order = (50, float("inf"), False, entry.created_at, entry.pk)
        self.books.add(ModelGrant(entry, order, amount, expires=False))

    def _may_spend(self, amount: Decimal, do) -> bool:
        if self.books.balance - self.books.reserved + self.overdraft >= amount:
            return True
        with pytest.raises(InsufficientCredits):
            do()
        return False

    @rule(amount=AMOUNTS)
    def take_back(self, amount: Decimal) -> None:
        if self._may_spend(amount, lambda: post(self.user, -amount)):
            post(self.user, -amount)
            self.books.take(amount)

    @rule(amount=AMOUNTS)
    def charge(self, amount: Decimal) -> None:
        if self._may_spend(amount, lambda: charge(self.user, credits=amount)):
            charged = charge(self.user, credits=amount)
            self.debits.append(Debit(charged.id, amount, self.books.take(amount)))

    @rule(amount=AMOUNTS)
    def hold(self, amount: Decimal) -> None:
        if self._may_spend(amount, lambda: hold(self.user, amount)):
            self.holds.append((hold(self.user, amount).hold, amount))
            self.books.reserved += amount

    @precondition(lambda self: self.holds)
    @rule(which=CHOICE, amount=AMOUNTS)
    def capture(self, which: int, amount: Decimal) -> None:
        opened, held = self.holds.pop(which % len(self.holds))
        amount = min(amount, held)
        done = captured(opened, credits=amount)
        self.debits.append(Debit(done.entry_id, amount, self.books.take(amount, is_capture=True)))
        self.books.reserved -= held
        self.books.trim()

    @precondition(lambda self: self.holds)
    @rule(which=CHOICE)
    def release(self, which: int) -> None:
        opened, held = self.holds.pop(which % len(self.holds))
        release_hold(hold_id=opened.pk, idempotency_key=uuid.uuid4().hex)
        self.books.reserved -= held
        self.books.trim()

    @precondition(lambda self: self.debits)
    @rule(which=CHOICE, amount=AMOUNTS)
    def refund(self, which: int, amount: Decimal) -> None:
        debit = self.debits[which % len(self.debits)]
        amount = min(amount, debit.amount - debit.given_back)
        if amount:
            entry = refund(debit.id, amount).entry
            own = self.books.give_back(debit, amount)
            if own:
                order = (50, float("inf"), True, entry.created_at, entry.pk)
                self.books.grants.append(ModelGrant(entry, order, own, expires=False))

    @precondition(lambda self: any(each.expires and not each.has_run_out for each in self.books.grants))
    @rule()
    def expire(self) -> None:
        """Expire the grant that ends first; otherwise what is not settled yet would be drawn in another order."""
        due = [each for each in self.books.grants if each.expires and not each.has_run_out]
        gone = min(due, key=lambda each: each.entry.grant.expires_at)
        end(gone.entry)
        gone.entry.grant.refresh_from_db()
        gone.has_run_out = True
        self.books.trim()

    @rule()
    def look(self) -> None:
        expected = {each.entry.pk: each.left for each in self.books.grants}
        assert left(self.user) == expected

    @invariant()
    def has_what_the_model_has(self) -> None:
        if hasattr(self, "user"):
            has = balance_of(user_id=self.user.pk)
            assert (has.balance, has.reserved) == (self.books.balance, self.books.reserved)

    def teardown(self) -> None:
        if hasattr(self, "user"):
            self.look()
            expired = dict(Grant.objects.of(self.user.pk).values_list("entry_id", "expired"))
            assert expired == {each.entry.pk: each.expired for each in self.books.grants}
            assert reconcile(Scope(user_id=self.user.pk))[1] == []


@pytest.mark.django_db(transaction=True)
def test_any_order_of_calls_leaves_in_each_grant_what_the_model_says():
    run_state_machine_as_test(
        Customer,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
