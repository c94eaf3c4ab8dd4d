"""Entries, holds, charges and refunds in any order, compared with a model of a few lines of plain Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from ledger.errors import (
    CaptureExceedsHold,
    HoldCaptured,
    HoldReleased,
    IdempotencyKeyReused,
    InsufficientCredits,
    RefundExceedsCharge,
)
from ledger.models import Entry, EntryReason, EntryType, Hold
from ledger.selectors import balance_of, ledger_of
from ledger.services.entries import post_entry
from ledger.services.holds import extend_hold, open_hold, release_hold
from ledger.services.reconciliation.checks import Scope
from tests.factories import UserFactory
from tests.usage.batches import asked
from usage.services.charges.calls import AskedCharge, charge_together
from usage.services.charges.charge import charge_request
from usage.services.charges.refunds import refund_charge
from usage.services.holding import AskedCapture, capture_hold
from usage.services.reconciliation import reconcile

# Few and alike, so that calls meet the bounds and each other's keys.
AMOUNTS = st.sampled_from([Decimal(text) for text in ("1", "5", "7.5", "20", "0.000001", "19.999999")])
KEYS = st.integers(1, 12).map("k{}".format)
SETTLED = {"captured": HoldCaptured, "released": HoldReleased}


@dataclass
class ModelHold:
    credits: Decimal
    captured: Decimal = Decimal(0)
    status: str = "open"

    @property
    def left(self) -> Decimal:
        return self.credits - self.captured if self.status == "open" else Decimal(0)

    def capture(self, taken: Decimal, *, final: bool) -> None:
        closes = final or taken == self.left
        self.captured += taken
        if closes:
            self.status = "captured"


class Ledger(RuleBasedStateMachine):
    """One customer; `done` stores what was asked under each key, and the result."""

    opened: Bundle[int] = Bundle("opened")
    paid: Bundle[int] = Bundle("paid")

    @initialize()
    def begin(self) -> None:
        self.user = UserFactory(password=None)
        self.done: dict[tuple[str, str], tuple[Any, Any]] = {}
        self.amounts: list[Decimal] = []
        self.holds: dict[int, ModelHold] = {}
        self.debits: dict[int, Decimal] = {}  # what is left to refund of each

        self._post("grant", EntryType.CREDIT, EntryReason.GRANT, Decimal(25), "first")

    @property
    def balance(self) -> Decimal:
        return sum(self.amounts, Decimal(0))

    @property
    def reserved(self) -> Decimal:
        return sum((hold.left for hold in self.holds.values()), Decimal(0))

    @property
    def available(self) -> Decimal:
        return self.balance - self.reserved

    def _do(
        self,
        operation: str,
        key: str,
        payload: Any,
        call: Callable[[], tuple[Any, bool]],
        refusal: type[Exception] | None,
    ) -> Any:
        """Make a call and compare its result with the model; return the result if it is the first under its key."""
        before = self.done.get((operation, key))
        if before is not None and before[0] != payload:
            with pytest.raises(IdempotencyKeyReused):
                call()
        elif before is not None:
            assert call() == (before[1], True)
        elif refusal is not None:
            with pytest.raises(refusal) as refused:
                call()
            if isinstance(refused.value, InsufficientCredits):
                assert refused.value.available == self.available
        else:
            made, is_replay = call()
            assert not is_replay
            self.done[operation, key] = (payload, made)
            return made
        return None

    def _beyond(self, credits: Decimal) -> type[Exception] | None:
        return InsufficientCredits if credits > self.available else None

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

        if self._do(operation, key, amount, post, self._beyond(-amount)) is not None:
            self.amounts.append(amount)

    @rule(target=paid, credits=AMOUNTS, key=KEYS)
    def charge(self, credits: Decimal, key: str) -> Any:
        def charge() -> tuple[int, bool]:
            charged = charge_request(
                AskedCharge(user_id=self.user.pk, endpoint="x", credits=credits, idempotency_key=key)
            )
            assert charged.entry_id == charged.id
            return charged.id, charged.is_replay

        made = self._do("charge", key, credits, charge, self._beyond(credits))
        return multiple() if made is None else self._debited(made, credits)

    def _debited(self, entry_id: int, credits: Decimal) -> int:
        self.amounts.append(-credits)
        self.debits[entry_id] = credits
        return entry_id

    @rule(
        target=paid,
        charges=st.lists(st.tuples(AMOUNTS, KEYS), min_size=1, max_size=5, unique_by=lambda charge: charge[1]),
    )
    def charge_together(self, charges: list[tuple[Decimal, str]]) -> Any:
        rows = charge_together(
            [asked("x", user=self.user, credits=credits, idempotency_key=key) for credits, key in charges]
        )

        made = []
        for (credits, key), row in zip(charges, rows, strict=True):
            payload, before = self.done.get(("charge", key), (None, None))
            if payload is not None:
                assert row.outcome == ("replayed" if payload == credits else "key_reused")
                assert row.entry_id == before
            elif credits > self.available:
                assert (row.outcome, row.available, row.entry_id) == ("insufficient", self.available, None)
            else:
                self.done["charge", key] = (credits, row.charge_id)
                made.append(self._debited(row.charge_id, credits))
                assert (row.outcome, row.balance_after, row.available) == ("charged", self.balance, self.available)
        return multiple(*made)

    @rule(target=opened, credits=AMOUNTS, key=KEYS)
    def hold(self, credits: Decimal, key: str) -> Any:
        def hold() -> tuple[int, bool]:
            change = open_hold(user_id=self.user.pk, credits=credits, expires_in_seconds=3_600, idempotency_key=key)
            return change.hold.pk, change.is_replay

        made = self._do("hold", key, credits, hold, self._beyond(credits))
        if made is None:
            return multiple()
        self.holds[made] = ModelHold(credits)
        return made

    @rule(target=paid, hold_id=opened, credits=st.none() | AMOUNTS, final=st.booleans(), key=KEYS)
    def capture(self, hold_id: int, credits: Decimal | None, final: bool, key: str) -> Any:
        def capture() -> tuple[int | None, bool]:
            done = capture_hold(
                AskedCapture(hold_id=hold_id, credits=credits, final=final, endpoint="x", idempotency_key=key)
            )
            return done.entry_id, done.is_replay

        hold = self.holds[hold_id]
        taken = hold.left if credits is None else credits
        refusal = SETTLED.get(hold.status) or (CaptureExceedsHold if taken > hold.left else None)
        made = self._do("capture", key, (hold_id, credits, final), capture, refusal)
        if made is None:
            return multiple()
        hold.capture(taken, final=final)
        return self._debited(made, taken)

    @rule(hold_id=opened, key=KEYS)
    def release(self, hold_id: int, key: str) -> None:
        def release() -> tuple[int, bool]:
            change = release_hold(hold_id=hold_id, idempotency_key=key)
            return change.hold.pk, change.is_replay

        hold = self.holds[hold_id]
        if self._do("release", key, hold_id, release, SETTLED.get(hold.status)) is not None:
            hold.status = "released"

    @rule(hold_id=opened, seconds=st.sampled_from([60, 7_200]), key=KEYS)
    def extend(self, hold_id: int, seconds: int, key: str) -> None:
        def extend() -> tuple[int, bool]:
            change = extend_hold(hold_id=hold_id, expires_in_seconds=seconds, idempotency_key=key)
            return change.hold.pk, change.is_replay

        ends_at = Hold.objects.get(pk=hold_id).expires_at
        hold = self.holds[hold_id]
        made = self._do("extend", key, (hold_id, seconds), extend, SETTLED.get(hold.status))
        moved = Hold.objects.get(pk=hold_id).expires_at - ends_at
        assert moved.total_seconds() >= 0
        assert made is not None or not moved

    @rule(charge_id=paid, credits=st.none() | AMOUNTS, key=KEYS)
    def refund(self, charge_id: int, credits: Decimal | None, key: str) -> None:
        def refund() -> tuple[int, bool]:
            posted = refund_charge(charge_id=charge_id, credits=credits, reason="x", idempotency_key=key)
            return posted.entry.pk, posted.is_replay

        left = self.debits[charge_id]
        given = left if credits is None else credits
        refusal = RefundExceedsCharge if left == 0 or given > left else None
        if self._do("refund", key, (charge_id, credits), refund, refusal) is not None:
            self.debits[charge_id] -= given
            self.amounts.append(given)

    @invariant()
    def has_what_the_model_has(self) -> None:
        if hasattr(self, "user"):
            has = balance_of(user_id=self.user.pk)
            assert (has.balance, has.reserved, has.available) == (self.balance, self.reserved, self.available)
            assert has.available >= 0

    def teardown(self) -> None:
        if hasattr(self, "user"):
            ledger = ledger_of(user_id=self.user.pk)
            assert [entry.amount for entry in ledger.every()] == self.amounts[::-1]
            assert Entry.objects.of(self.user.pk).count() == ledger.count() == len(self.amounts)
            holds = Hold.objects.of(self.user.pk).values_list("pk", "captured", "status")
            assert {pk: (captured, status) for pk, captured, status in holds} == {
                pk: (hold.captured, hold.status) for pk, hold in self.holds.items()
            }
            assert reconcile(Scope(user_id=self.user.pk))[1] == []


def check_orders(*, examples: int) -> None:
    """Try that many orders of calls; the first ones are always the same."""
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.django_db
def test_any_order_of_calls_leaves_what_the_model_says_and_books_that_reconcile():
    check_orders(examples=25)  # tests/torture tries more
