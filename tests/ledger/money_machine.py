"""Random events on one customer's money, in the ledger's SQL functions and in a model, compared after each event.

Everything runs as the owner, in one transaction that is rolled back: a step takes some milliseconds. Time passes by
moving the customer's times back.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.db import connections, transaction
from django.utils import timezone
from hypothesis import strategies as st

from accounts.models import Plan, Subscription, User
from ledger.models import DisputeStatus, Payment, PaymentDispute, PaymentKind, PaymentState
from ledger.services.reconciliation.checks import LEDGER_CHECKS, Scope
from ledger.services.reconciliation.grant_checks import GRANT_CHECKS
from ledger.services.reconciliation.reversal_checks import REVERSAL_CHECKS
from tests.factories import PlanFactory
from tests.ledger.money_model import NEVER, Held, ModelGrant, Money, Purchase, Taken
from tests.ledger.paying import package
from tests.module_data import as_owner

Choice = TypeVar("Choice")
DAY = 86_400
MICRO = 1_000_000
CREDITS = [Decimal(text) for text in ("1", "2.5", "7", "0.000001", "12", "30")]
# The possible events; the more often one is listed, the more likely it is.
WAYS = (
    *["charge"] * 6, *["grant"] * 3, *["buy"] * 2, "reload", "adjust", "take", *["hold"] * 2, *["capture"] * 2,
    "release", *["refund"] * 3, *["money_back"] * 2, *["dispute"] * 2, *["end_dispute"] * 2, *["wait"] * 4, "settle",
    "subscribe", "end_grant", "extend_grant",
)  # fmt: skip
EVENTS = st.tuples(st.sampled_from(WAYS), st.integers(0, 5_039))  # the event, and a number that chooses a variant

# Compares what readers see, and what is left of each grant once it is settled; its error rolls the settlement back.
_LOOK = """
    CREATE FUNCTION pg_temp.look(
        p_user_id bigint, p_known integer, OUT balance numeric, OUT reserved numeric, OUT posted numeric,
        OUT places bigint[], OUT remaining numeric[], OUT expired numeric[], OUT fresh text[],
        OUT period_ends_at numeric, OUT written bigint
    ) LANGUAGE plpgsql AS $$
    BEGIN
        written := (SELECT seq FROM ledger_balance b WHERE b.user_id = p_user_id);
        SELECT b.balance - coalesce(lapsed.credits, 0),
            b.reserved - coalesce((SELECT sum(credits - captured) FROM ledger_hold h WHERE h.user_id = b.user_id
                                   AND h.status = 'open' AND h.expires_at <= clock_timestamp()), 0)
        INTO balance, reserved
        FROM ledger_balance b CROSS JOIN LATERAL ledger_expired_credits(b.user_id, clock_timestamp()) lapsed
        WHERE b.user_id = p_user_id;
        posted := (SELECT sum(amount) FROM ledger_entry e WHERE e.user_id = p_user_id);
        BEGIN
            PERFORM ledger_settle_grants(p_user_id, 1500);
            SELECT array_agg(g.seq ORDER BY g.seq), array_agg(g.remaining ORDER BY g.seq),
                array_agg(g.expired ORDER BY g.seq)
            INTO places, remaining, expired FROM ledger_grant g WHERE g.user_id = p_user_id;
            fresh := ARRAY(
                SELECT concat_ws(' ', priority, extract(epoch FROM coalesce(expires_at, 'infinity')), category,
                                 extract(epoch FROM effective_at))
                FROM ledger_grant WHERE user_id = p_user_id ORDER BY seq OFFSET p_known);
            period_ends_at := (
                SELECT max(extract(epoch FROM current_period_end)) FROM accounts_subscription
                WHERE user_id = p_user_id);
            RAISE EXCEPTION 'enough was seen' USING ERRCODE = 'LOOK1';
        EXCEPTION WHEN SQLSTATE 'LOOK1' THEN
            NULL;
        END;
    END $$
"""
_WAIT = """
    UPDATE ledger_grant SET expires_at = expires_at - {by}, effective_at = effective_at - {by}
    WHERE user_id = {user} AND expires_at IS NOT NULL;
    UPDATE ledger_granttermschange SET expires_before = expires_before - {by}, expires_after = expires_after - {by}
    WHERE user_id = {user};
    UPDATE ledger_hold SET expires_at = expires_at - {by} WHERE user_id = {user} AND status = 'open';
    UPDATE accounts_subscription SET anchor_at = anchor_at - {by}, started_at = started_at - {by},
        current_period_start = current_period_start - {by}, current_period_end = current_period_end - {by},
        next_grant_at = next_grant_at - {by}
    WHERE user_id = {user};
    UPDATE ledger_subscriptionperiod SET starts_at = starts_at - {by}, ends_at = ends_at - {by} WHERE user_id = {user};
    UPDATE ledger_balance SET next_expiry_at = next_expiry_at - {by}
    WHERE user_id = {user} AND next_expiry_at < '9000-01-01';
"""


@contextmanager
def owners_database() -> Iterator[None]:
    """Connect Django as the owner, without the guards that forbid moving times back, until all is rolled back."""
    with as_owner() as owner, transaction.atomic():
        with owner.cursor() as cursor:
            for table in ("ledger_grant", "ledger_granttermschange", "ledger_hold", "ledger_subscriptionperiod"):
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute(_LOOK)
        package()
        yield
        transaction.set_rollback(True)


class Customer:
    """One customer; `live` applies a list of events and compares everything after each."""

    def __init__(self, plan: Plan, *, limit: int, cap: Decimal | None) -> None:
        self.money = Money(limit=Decimal(limit), per_period=plan.credits_per_period)
        self.user = User.objects.create(email=f"{uuid.uuid4().hex}@example.com", full_name="", password="")
        self.plan, self.cap = plan, cap
        self.waited = 0  # microseconds by which times were moved back
        self.called = 0
        self.written = 0  # seq of the last entry: the terms of later grants, of periods that are due, move with time
        self._post("credit", "grant", Decimal(1))
        self.money.bring(Decimal(1), is_paid=False)
        self._run("UPDATE ledger_balance SET overdraft_limit = %s WHERE user_id = %s", limit, self.user.pk)
        self.look(has_moved=True)

    def live(self, events: Sequence[tuple[str, int]]) -> None:
        for way, choice in events:
            self.step(way, choice)

    def step(self, way: str, choice: int) -> None:
        """Apply one event, and compare everything."""
        if way == "wait":
            self.wait(choice)
        else:
            self.money.take_what_is_owed()  # of what has become due since
            getattr(self, way)(choice)
            self.money.take_what_is_owed()
        self.look(has_moved=way != "wait")

    def check_books(self) -> None:
        """Settle what has happened, and reconcile."""
        self.settle(0)
        for check in (*LEDGER_CHECKS, *GRANT_CHECKS, *REVERSAL_CHECKS):
            assert check.run(Scope(user_id=self.user.pk)) == []

    # The events. All but `wait` make the ledger look for what is due.

    def grant(self, choice: int) -> None:
        credits, choice = _one_of(CREDITS, choice)
        days, choice = _one_of([None, 1, 2, 3, 40], choice)
        priority, choice = _one_of([None, None, 10, 60], choice)
        category, _ = _one_of([None, "paid"], choice)
        ends_at = None if days is None else timezone.now() + timedelta(days=days)
        self._run(
            "SELECT * FROM ledger_open_grant(%s, 'grant', %s, '', NULL, '{}', 'test', %s, '\\x00', %s, %s, NULL, %s)",
            self.user.pk, credits, self._key(), category, priority, ends_at,
        )  # fmt: skip
        self.money.bring(credits, priority=priority or 50, ends_at=self._at(ends_at), is_paid=category == "paid")

    def end_grant(self, choice: int) -> None:
        grant, _ = self._grant_to_change(choice, or_that_stays=True)
        if grant is None:
            return
        grant.has_ended = True
        self._change_end(grant, None)
        self.money.trim()

    def extend_grant(self, choice: int) -> None:
        grant, choice = self._grant_to_change(choice, or_that_stays=False)
        if grant is None:
            return
        days, _ = _one_of([1, 2, 40], choice)
        self._change_end(grant, days)

    def buy(self, choice: int, kind: PaymentKind = PaymentKind.TOP_UP) -> None:
        credits, _ = _one_of([Decimal(10), Decimal(30)], choice)
        now, key = timezone.now(), uuid.uuid4()
        reason = "purchase" if kind == PaymentKind.TOP_UP else "auto_reload"
        payment = Payment.objects.create(
            user=self.user, package=package(), kind=kind, credits=credits, amount_minor=credits * 100, currency="USD",
            provider="fake", provider_key=key, provider_customer_id="", idempotency_key=str(key), fingerprint=b"",
            created_at=now, asked_at=now, expires_at=now,
        )  # fmt: skip
        entry_id = self._post("credit", reason, credits, operation="payment", key=str(payment.pk))
        Payment.objects.filter(pk=payment.pk).update(state=PaymentState.SUCCEEDED, entry_id=entry_id, settled_at=now)
        self.money.purchases[payment.pk] = Purchase(credits, self.money.bring(credits))

    def reload(self, choice: int) -> None:
        self.buy(choice, PaymentKind.AUTO_RELOAD)

    def adjust(self, choice: int) -> None:
        credits, _ = _one_of(CREDITS, choice)
        self._post("adjustment", "goodwill", credits)
        self.money.bring(credits, is_paid=False)

    def take(self, choice: int) -> None:
        credits, _ = _one_of(CREDITS, choice)
        may = self.money.may_spend(credits)
        assert (self._post("adjustment", "correction", -credits) is not None) is may
        if may:
            self.money.take(credits)

    def charge(self, choice: int) -> None:
        credits, _ = _one_of(CREDITS, choice)
        made = self._run(
            "SELECT outcome, entry_id FROM ledger_move(%s, 'debit', 'usage', %s, '', NULL, '{}', 'charge', %s, '')",
            self.user.pk, -credits, self._key(),
        )  # fmt: skip
        assert (made[0] == "posted") is self.money.may_spend(credits)
        if made[0] == "posted":
            self.money.debits[made[1]] = Taken(self.money.take(credits))

    def hold(self, choice: int) -> None:
        credits, choice = _one_of(CREDITS, choice)
        days, _ = _one_of([1, 2], choice)
        may = self.money.may_spend(credits)
        ends_at = self._now() + days * DAY * MICRO
        outcome, hold_id = self._run(
            "SELECT outcome, hold_id FROM ledger_open_hold(%s, %s, %s, NULL, '{}', %s, '\\x00')",
            self.user.pk, credits, days * DAY, self._key(),
        )  # fmt: skip
        assert (outcome == "opened") is may
        if may:
            self.money.holds[hold_id] = Held(credits, ends_at)

    def capture(self, choice: int) -> None:
        if not self.money.holds:
            self.settle(0)
            return
        hold_id, choice = _one_of(list(self.money.holds), choice)
        part, choice = _one_of([1, 2], choice)
        is_final, _ = _one_of([True, False], choice)
        credits = max(round(self.money.holds[hold_id].left / part, 6), Decimal("0.000001"))
        outcome, entry_id = self._run(
            "SELECT outcome, entry_id FROM ledger_capture_hold(%s, NULL, %s, %s, NULL, '', NULL, '{}', %s, '\\x00')",
            hold_id, credits, is_final, self._key(),
        )  # fmt: skip
        assert outcome == "captured"
        self.money.debits[entry_id] = Taken(self.money.capture(hold_id, credits, is_final=is_final))

    def release(self, choice: int) -> None:
        if not self.money.holds:
            self.settle(0)
            return
        hold_id, _ = _one_of(list(self.money.holds), choice)
        self._run("SELECT * FROM ledger_release_hold(%s, NULL, %s, '\\x00')", hold_id, self._key())
        self.money.release(hold_id)

    def refund(self, choice: int) -> None:
        debits = {entry_id: taken for entry_id, taken in self.money.debits.items() if taken.credits}
        if not debits:
            self.settle(0)
            return
        entry_id, choice = _one_of(list(debits), choice)
        part, _ = _one_of([1, 2], choice)
        credits = max(round(debits[entry_id].credits / part, 6), Decimal("0.000001"))
        (outcome,) = self._run(
            "SELECT r.outcome FROM ledger_entry e CROSS JOIN LATERAL ledger_refund(e, %s, '', %s, '\\x00') r"
            " WHERE e.id = %s",
            credits, self._key(), entry_id,
        )  # fmt: skip
        assert outcome == "posted"
        self.money.give_back(debits[entry_id], credits)

    def money_back(self, choice: int) -> None:
        if not self.money.purchases:
            self.settle(0)
            return
        payment_id, choice = _one_of(list(self.money.purchases), choice)
        share, _ = _one_of([Decimal(1), Decimal("0.5"), Decimal("0.1")], choice)
        purchase = self.money.purchases[payment_id]
        purchase.refunded = max(purchase.refunded, share)
        Payment.objects.filter(pk=payment_id).update(refunded_minor=purchase.credits * 100 * purchase.refunded)
        self._settle_reversals(payment_id)

    def dispute(self, choice: int) -> None:
        if not self.money.purchases:
            self.settle(0)
            return
        payment_id, choice = _one_of(list(self.money.purchases), choice)
        share, _ = _one_of([Decimal(1), Decimal("0.5")], choice)
        purchase = self.money.purchases[payment_id]
        name = f"dp_{uuid.uuid4().hex}"
        purchase.disputed[name] = share
        PaymentDispute.objects.create(
            payment_id=payment_id, provider_dispute_id=name, amount_minor=purchase.credits * 100 * share,
            status=DisputeStatus.OPEN,
        )  # fmt: skip
        self._settle_reversals(payment_id)

    def end_dispute(self, choice: int) -> None:
        disputed = [(payment_id, name) for payment_id, each in self.money.purchases.items() for name in each.disputed]
        if not disputed:
            self.settle(0)
            return
        (payment_id, name), choice = _one_of(disputed, choice)
        is_won, _ = _one_of([True, True, False], choice)
        PaymentDispute.objects.filter(provider_dispute_id=name).update(
            status=DisputeStatus.WON if is_won else DisputeStatus.LOST
        )
        if is_won:
            del self.money.purchases[payment_id].disputed[name]
        self._settle_reversals(payment_id)

    def subscribe(self, choice: int) -> None:
        if self.money.period_ends_at != NEVER:
            self.settle(0)
            return
        now = timezone.now()
        (ends_at,) = self._run("SELECT ledger_months_after(%s, 1)", now)
        Subscription.objects.create(
            user=self.user, plan=self.plan, status="active", billing_interval="monthly",
            credits_per_period=self.plan.credits_per_period, rollover_cap=self.cap, anchor_at=now, started_at=now,
            current_period_start=now, current_period_end=ends_at,
        )  # fmt: skip
        self._run("SELECT ledger_renew(%s)", self.user.pk)
        self.money.bring(self.money.per_period, ends_at=self._at(None if self.cap is None else ends_at))

    def wait(self, choice: int) -> None:
        """Let some days pass, never so many that two periods begin; only the clock changes."""
        days, _ = _one_of([Decimal("0.3"), Decimal(1), Decimal(2), Decimal(19)], choice)
        seconds = days * DAY + 1  # no period begins when an earlier one did: its start is the key of its entries
        self._run_all(_WAIT.format(by=f"interval '{seconds} seconds'", user=self.user.pk))
        self.waited += int(seconds * MICRO)
        self.money.pass_time(self._now())

    def settle(self, choice: int) -> None:
        self._run("SELECT * FROM ledger_settle_grants(%s, 1500)", self.user.pk)

    # Comparing.

    def look(self, *, has_moved: bool) -> None:
        """Compare what readers see, and what is left of each grant once settled; the settlement is rolled back."""
        known = sum(0 < grant.seq <= self.written for grant in self.money.grants)
        balance, reserved, posted, places, remaining, expired, fresh, period_ends_at, self.written = self._run(
            "SELECT * FROM pg_temp.look(%s, %s)", self.user.pk, known
        )
        for grant, seq, terms in zip(self.money.grants[known:], places[known:], fresh, strict=True):
            priority, ends_at, category, since = terms.split()
            grant.seq = seq
            grant.ends_at = NEVER if ends_at == "Infinity" else int(Decimal(ends_at) * MICRO) + self.waited
            grant.order = (int(priority), grant.ends_at, category == "paid", Decimal(since), seq)
        settled = self._with_what_is_owed_taken()
        assert (balance, reserved) == (settled.balance, settled.reserved)
        if has_moved:
            assert posted == balance  # the ledger agrees, whatever has expired
        # By order alone: months that pass move a period among what ends before it is written.
        assert [(grant.left, grant.expired) for grant in settled.grants] == list(zip(remaining, expired, strict=True))
        self.money.period_ends_at = NEVER if period_ends_at is None else int(period_ends_at * MICRO) + self.waited

    def _with_what_is_owed_taken(self) -> Money:
        """Return the model as readers see it: owed credits that time alone made available cannot be spent."""
        if not any(purchase.is_owing for purchase in self.money.purchases.values()):
            return self.money
        settled = deepcopy(self.money)
        settled.take_what_is_owed()
        return settled

    # SQL calls.

    def _grant_to_change(self, choice: int, *, or_that_stays: bool) -> tuple[ModelGrant | None, int]:
        """Choose a grant that has something left and not ended; None, and what is due is settled: there is none."""
        open_ones = [grant for grant in self.money.grants if grant.left and not grant.has_ended]
        open_ones = [grant for grant in open_ones if or_that_stays or grant.ends_at != NEVER]
        if open_ones:
            return _one_of(open_ones, choice)
        self.settle(0)
        return None, choice

    def _change_end(self, grant: ModelGrant, days: int | None) -> None:
        """End a grant now (None), or let it end that many days later; read its end, with which its place changes."""
        if self.written < grant.seq:  # of a period that is due
            self.settle(0)
        grant_id, ends_at = self._run(
            "SELECT e.id, g.expires_at FROM ledger_entry e LEFT JOIN ledger_grant g ON g.entry_id = e.id"
            " WHERE e.user_id = %s AND e.seq = %s",
            self.user.pk, grant.seq,
        )  # fmt: skip
        (outcome,) = self._run(
            "SELECT outcome FROM ledger_change_grant_end(%s, %s, %s, 'A test', %s, %s, '\\x00')",
            self.user.pk, grant_id, None if days is None else ends_at + timedelta(days=days), self.user.pk, self._key(),
        )  # fmt: skip
        assert outcome == "changed"
        (ends_at,) = self._run("SELECT extract(epoch FROM expires_at) FROM ledger_grant WHERE entry_id = %s", grant_id)
        grant.ends_at = int(ends_at * MICRO) + self.waited
        grant.order = (grant.order[0], grant.ends_at, *grant.order[2:])

    def _settle_reversals(self, payment_id: int) -> None:
        self._run("SELECT * FROM ledger_settle_reversals(%s)", payment_id)
        self.money.settle(self.money.purchases[payment_id])

    def _post(
        self, type: str, reason: str, credits: Decimal, *, operation: str = "test", key: str | None = None
    ) -> int | None:
        outcome, entry_id = self._run(
            "SELECT outcome, entry_id FROM ledger_post_entry(%s, %s, %s, %s, '', NULL, '{}', %s, %s, '\\x00', NULL)",
            self.user.pk, type, reason, credits, operation, key or self._key(),
        )  # fmt: skip
        return entry_id if outcome == "posted" else None

    def _key(self) -> str:
        self.called += 1
        return str(self.called)

    def _now(self) -> int:
        return int(timezone.now().timestamp() * MICRO) + self.waited

    def _at(self, ends_at: datetime | None) -> float:
        return NEVER if ends_at is None else int(ends_at.timestamp() * MICRO) + self.waited

    def _run(self, statement: str, *values: Any) -> Any:
        with connections["default"].connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone() if cursor.description else None

    def _run_all(self, statements: str) -> None:
        with connections["default"].connection.cursor() as cursor:
            cursor.execute(statements)


def live(events: Sequence[tuple[str, int]], *, limit: int, cap: int | None, is_checked: bool) -> None:
    """Apply these events to a new customer, and roll them back."""
    with transaction.atomic():
        plan = PlanFactory(credits_per_period=Decimal(20), rollover_cap=None if cap is None else Decimal(cap))
        customer = Customer(plan, limit=limit, cap=None if cap is None else Decimal(cap))
        customer.live(events)
        if is_checked:
            customer.check_books()
        transaction.set_rollback(True)


def _one_of(choices: Sequence[Choice], choice: int) -> tuple[Choice, int]:
    """Choose one by a number; return it and the rest of the number, for the next choice."""
    choice, which = divmod(choice, len(choices))
    return choices[which], choice
