"""Entries, holds and charges in any order, against a model of a few lines in plain Python."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ledger.errors import HoldReleased, IdempotencyKeyReused, InsufficientCredits
from ledger.models import Entry, EntryReason, EntryType
from ledger.selectors import balance_of, ledger_of
from ledger.services.entries import post_entry
from ledger.services.holds import open_hold, release_hold
from ledger.services.reconciliation import Scope
from tests.factories import UserFactory
from usage.services.charging import charge_request
from usage.services.reconciliation import reconcile

# Few and alike, so that calls meet the bounds and each other's keys.
AMOUNTS = st.sampled_from([Decimal(text) for text in ("1", "5", "7.5", "20", "0.000001", "19.999999")])
KEYS = st.integers(1, 12).map("k{}".format)


class Ledger(RuleBasedStateMachine):
    """One customer; `entries` and `holds` remember what was asked under each key, and what it made."""

    opened: Bundle[str] = Bundle("opened")

    @initialize()
    def begin(self) -> None:
        self.user = UserFactory(password=None)
        self.entries: dict[tuple[str, str], tuple[Decimal, int]] = {}
        self.amounts: list[Decimal] = []
        self.holds: dict[str, tuple[Decimal, int]] = {}
        self.released: dict[str, str] = {}

        self._post("grant", EntryType.CREDIT, EntryReason.GRANT, Decimal(25), "first")

    @property
    def balance(self) -> Decimal:
        return sum(self.amounts, Decimal(0))

    @property
    def reserved(self) -> Decimal:
        return sum((credits for key, (credits, _) in self.holds.items() if key not in self.released), Decimal(0))

    @rule(amount=AMOUNTS, key=KEYS)
    def grant(self, amount: Decimal, key: str) -> None:
        self._post("grant", EntryType.CREDIT, EntryReason.GRANT, amount, key)

    @rule(amount=AMOUNTS, is_taken=st.booleans(), key=KEYS)
    def adjust(self, amount: Decimal, is_taken: bool, key: str) -> None:
        self._post("adjust", EntryType.ADJUSTMENT, EntryReason.CORRECTION, -amount if is_taken else amount, key)

    def _post(self, operation: str, type: EntryType, reason: EntryReason, amount: Decimal, key: str) -> None:
        def post() -> tuple[int, bool]:
            posted = post_entry(
                user_id=self.user.pk,
                type=type,
                reason=reason,
                amount=amount,
                description="",
                operation=operation,
                idempotency_key=key,
            )
            return posted.entry.pk, posted.is_replay

        self._move(post, operation, amount, key)

    @rule(credits=AMOUNTS, key=KEYS)
    def charge(self, credits: Decimal, key: str) -> None:
        def charge() -> tuple[int, bool]:
            charged = charge_request(user_id=self.user.pk, endpoint="x", credits=credits, idempotency_key=key)
            assert charged.entry_id is not None
            return charged.entry_id, charged.is_replay

        self._move(charge, "charge", -credits, key)

    def _move(self, move, operation: str, amount: Decimal, key: str) -> None:
        before = self.entries.get((operation, key))
        if before is not None and before[0] != amount:
            with pytest.raises(IdempotencyKeyReused):
                move()
        elif before is not None:
            assert move() == (before[1], True)
        elif amount < 0 and self.balance - self.reserved + amount < 0:
            with pytest.raises(InsufficientCredits) as refused:
                move()
            assert refused.value.available == self.balance - self.reserved
            assert refused.value.required == -amount
        else:
            entry_id, is_replay = move()
            assert not is_replay
            self.entries[operation, key] = (amount, entry_id)
            self.amounts.append(amount)

    @rule(target=opened, credits=AMOUNTS, key=KEYS)
    def hold(self, credits: Decimal, key: str) -> str:
        def hold() -> tuple[int, bool]:
            change = open_hold(user_id=self.user.pk, credits=credits, expires_in_seconds=3_600, idempotency_key=key)
            return change.hold.pk, change.is_replay

        before = self.holds.get(key)
        if before is not None and before[0] != credits:
            with pytest.raises(IdempotencyKeyReused):
                hold()
        elif before is not None:
            assert hold() == (before[1], True)
        elif self.balance - self.reserved < credits:
            with pytest.raises(InsufficientCredits):
                hold()
        else:
            self.holds[key] = (credits, hold()[0])
        return key

    @rule(opened=opened, key=KEYS)
    def release(self, opened: str, key: str) -> None:
        if opened not in self.holds:
            return  # it was refused
        hold_id = self.holds[opened][1]
        used_for = next((hold for hold, by in self.released.items() if by == key), None)
        if used_for is not None and used_for != opened:
            with pytest.raises(IdempotencyKeyReused):
                release_hold(hold_id=hold_id, idempotency_key=key)
        elif used_for is None and opened in self.released:
            with pytest.raises(HoldReleased):
                release_hold(hold_id=hold_id, idempotency_key=key)
        else:
            change = release_hold(hold_id=hold_id, idempotency_key=key)
            assert change.is_replay == (used_for == opened)
            self.released[opened] = key

    @invariant()
    def has_what_the_model_has(self) -> None:
        if hasattr(self, "user"):
            has = balance_of(user_id=self.user.pk)
            assert (has.balance, has.reserved, has.available) == (
                self.balance, self.reserved, self.balance - self.reserved
            )  # fmt: skip
            assert has.available >= 0

    def teardown(self) -> None:
        if hasattr(self, "user"):
            ledger = ledger_of(user_id=self.user.pk)
            assert [entry.amount for entry in ledger.every()] == self.amounts[::-1]
            assert Entry.objects.of(self.user.pk).count() == ledger.count() == len(self.amounts)
            assert reconcile(Scope(user_id=self.user.pk))[1] == []


@pytest.mark.django_db
def test_any_order_of_calls_leaves_what_the_model_says_and_books_that_reconcile():
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
