"""Thirty days of one customer who spends, pays, changes the agreement and whose bank answers in every way.

The clock and the provider are scripted. Each charge is checked, when it reaches the provider, against what the customer
has agreed to, by arithmetic of its own.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar
from unittest import mock

from hypothesis import strategies as st

from ledger.models import OPEN_STATES, AutoReload, Entry, Payment, PaymentKind, PaymentState
from ledger.providers import fake
from ledger.providers.base import Order
from ledger.providers.fake import APPROVE
from ledger.selectors import balance_of
from ledger.services.auto_reload.buying import reload_one, reloads_due
from ledger.services.auto_reload.terms import change_auto_reload
from ledger.services.holds import release_hold
from ledger.services.payments.rounds import payments_in_doubt, settle_one
from ledger.services.payments.settling import record_answer
from ledger.services.payments.top_ups import start_top_up
from ledger.services.reconciliation.checks import Scope
from tests.factories import UserFactory
from tests.ledger import scripted_provider as scripted
from tests.ledger.paying import card, package
from tests.ledger.posting import hold, post
from tests.ledger.scripted_provider import DECLINE, LOSE_DECLINE, MODES, ScriptedProvider
from usage.services.reconciliation import reconcile

Choice = TypeVar("Choice")
START = dt.datetime(2026, 3, 17, 9, tzinfo=dt.UTC)
LENGTH = dt.timedelta(days=30)
DAY, MINUTE = dt.timedelta(days=1), dt.timedelta(minutes=1)
CREDITS = [Decimal(text) for text in ("1", "50", "99.999999", "400", "900", "1500", "5000")]
THRESHOLDS = (Decimal(100), Decimal(1000), Decimal(2000))
GOALS = (("amount", Decimal(100)), ("amount", Decimal(1000)), ("target", Decimal(2500)))
CAPS = (Decimal(25), Decimal(30), Decimal(60))
WAITS = (1, 16, 61, 400, 1440)  # minutes
# The possible events; the more often one is listed, the more likely it is.
WAYS = (
    *["spend"] * 6, *["wait"] * 4, *["run_for_hours"] * 2, *["set_bank_behaviour"] * 4, *["settle"] * 2, "reserve",
    "give_back", "top_up", *["agree"] * 3, "turn_off", "confirm_or_decline", "deliver_webhooks",
    "deliver_outdated_webhook",
)  # fmt: skip
EVENTS = st.tuples(st.sampled_from(WAYS), st.integers(0, 5_039))  # the event, and a number that chooses a variant


@dataclass(frozen=True)
class Agreed:
    """What the customer has agreed to, in credits and cents (a credit costs one)."""

    threshold: Decimal
    amount: Decimal | None
    target: Decimal | None
    cap: int


class ThirtyDays:
    """One customer's month; `live` applies a list of events and checks everything after each."""

    def __init__(self) -> None:
        self.now = START
        self.agreed: Agreed | None = None
        self.begun: list[tuple[dt.datetime, str]] = []  # each auto-reload charge that reached the card
        self.holds: list[int] = []
        self.provider = ScriptedProvider(self.charged)
        package()
        self.user = UserFactory(password=None)
        self.card = card(self.user, APPROVE)
        post(self.user, 1000)

    def live(self, events: list[tuple[str, int]]) -> None:
        with mock.patch.object(fake, "from_settings", return_value=self.provider):
            for way, which in [("agree", 0), *events]:
                getattr(self, way)(which)
                self.look()
            self.end()

    # What must hold for each charge

    def charged(self, order: Order, mode: str) -> None:
        payment = Payment.objects.get(provider_key=order.key)
        if payment.kind != PaymentKind.AUTO_RELOAD:
            return
        assert self.agreed is not None, "nothing is charged without consent"
        others = Payment.objects.filter(user=self.user).exclude(pk=payment.pk)
        reloads = others.filter(kind=PaymentKind.AUTO_RELOAD)
        assert not reloads.filter(state__in=OPEN_STATES).exists(), "one at a time"
        month = self.now.replace(day=1, hour=0, minute=0)
        spent = sum(p.amount_minor for p in reloads if p.created_at >= month and p.state in (*OPEN_STATES, "succeeded"))
        incoming = sum((p.credits for p in others if self.is_incoming(p)), Decimal(0))
        self.assert_closes_the_gap(payment, incoming, self.agreed.cap - spent)
        assert all(self.now - at >= MINUTE for at, _ in self.begun), "a minute between any two"
        self.begun.append((self.now, mode))
        declined = [at for at, how in self.begun if how in (DECLINE, LOSE_DECLINE) and at > self.now - DAY]
        assert len(declined) <= 24

    def is_incoming(self, payment: Payment) -> bool:
        recent = payment.created_at > self.now - 30 * MINUTE
        return payment.state == "pending" or (payment.state == "requires_action" and recent)

    def assert_closes_the_gap(self, payment: Payment, incoming: Decimal, left: int) -> None:
        agreed = self.agreed
        assert agreed is not None
        has = balance_of(user_id=self.user.pk).available + incoming
        then = has + payment.credits
        assert has < agreed.threshold, "only what is below is filled"
        assert payment.amount_minor <= left, "never beyond the cap"
        assert payment.amount_minor - 1 < payment.credits <= payment.amount_minor, "a credit costs a cent"
        if agreed.target is not None:
            assert then == agreed.target or payment.credits == left or (then < agreed.target + 50), "up to the target"
            return
        assert agreed.amount is not None
        assert payment.credits % agreed.amount == 0
        assert then - agreed.amount < agreed.threshold, "no more than it takes"
        assert then >= agreed.threshold or payment.credits + agreed.amount > left, "in one payment"

    # The events

    def spend(self, which: int) -> None:
        spent = min(_one_of(CREDITS, which), balance_of(user_id=self.user.pk).available)
        if spent > 0:
            post(self.user, -spent)

    def reserve(self, which: int) -> None:
        credits = _one_of(CREDITS, which)
        if credits <= balance_of(user_id=self.user.pk).available:
            self.holds.append(hold(self.user, credits, seconds=86_400).hold.pk)

    def give_back(self, _which: int) -> None:
        if self.holds:
            release_hold(hold_id=self.holds.pop(), idempotency_key=uuid.uuid4().hex)

    def set_bank_behaviour(self, which: int) -> None:
        self.provider.mode = _one_of((*MODES, scripted.APPROVE, scripted.APPROVE), which)

    def top_up(self, _which: int) -> None:
        start_top_up(
            user_id=self.user.pk, email=self.user.email, package_code="small", payment_method_id=self.card.pk,
            idempotency_key=uuid.uuid4().hex, now=self.now,
        )  # fmt: skip

    def agree(self, which: int) -> None:
        threshold, cap = _one_of(THRESHOLDS, which), _one_of(CAPS, which // 9)
        name, goal = _one_of(GOALS, which // 3)
        changes = {"threshold": threshold, "monthly_cap": cap, name: goal}
        reload = change_auto_reload(
            user_id=self.user.pk,
            changes={**changes, "enabled": True, "consent": True, "payment_method_id": self.card.pk},
            now=self.now,
        )
        assert reload is not None
        assert reload.enabled
        self.agreed = Agreed(
            threshold,
            goal if name == "amount" else None,
            goal if name == "target" else None,
            int(cap * 100),
        )

    def turn_off(self, _which: int) -> None:
        change_auto_reload(user_id=self.user.pk, changes={"enabled": False}, now=self.now)
        self.agreed = None

    def confirm_or_decline(self, which: int) -> None:
        state = _one_of((PaymentState.SUCCEEDED, PaymentState.FAILED), which)
        for key in self.provider.arrived:
            self.provider.move(key, state)

    def deliver_webhooks(self, which: int) -> None:
        if self.provider.arrived:
            key, times = _one_of(list(self.provider.arrived), which), 1 + which % 5
            payment = Payment.objects.get(provider_key=key)
            for _ in range(times):
                record_answer(payment_id=payment.pk, answer=self.provider.answer(key), source="webhook", now=self.now)

    def deliver_outdated_webhook(self, which: int) -> None:
        """Deliver an outdated message that reports a succeeded payment as pending."""
        if taken := self.provider.taken():
            key = _one_of(taken, which)
            payment = Payment.objects.get(provider_key=key)
            if payment.state == PaymentState.SUCCEEDED:
                old = replace(self.provider.answer(key), state=PaymentState.PENDING)
                record_answer(payment_id=payment.pk, answer=old, source="webhook", now=self.now)

    def settle(self, _which: int = 0) -> None:
        for payment_id in payments_in_doubt(now=self.now):
            settle_one(payment_id=payment_id, now=self.now)

    def wait(self, which: int) -> None:
        self.now += _one_of(WAITS, which) * MINUTE
        self.run()

    def run_for_hours(self, _which: int) -> None:
        for _ in range(15):
            self.now += 20 * MINUTE
            self.run()

    def run(self) -> None:
        if self.user.pk in reloads_due(now=self.now):
            reload_one(user_id=self.user.pk, now=self.now)
            assert reload_one(user_id=self.user.pk, now=self.now) not in PaymentState.values, "once is enough"

    # What must hold at any time

    def look(self) -> None:
        known = AutoReload.objects.filter(pk=self.user.pk).first()
        if known is not None and not known.enabled and self.agreed is not None:
            assert known.off_reason == "declined"
            self.agreed = None  # and it stays off: a charge without consent fails when it is made
        assert (known is not None and known.enabled) == (self.agreed is not None)
        assert known is None or not known.enabled or known.declines_in_a_row < 3, "three declines end it"
        credited = list(
            Entry.objects.filter(user=self.user, operation="payment").values_list("idempotency_key", flat=True)
        )
        taken = Payment.objects.filter(provider_key__in=self.provider.taken()).values_list("pk", flat=True)
        assert len(credited) == len(set(credited)), "nothing is credited twice"
        assert set(credited) <= set(map(str, taken)), "nor without money"

    def end(self) -> None:
        """Let the rest of the thirty days pass, and check how everything ended."""
        while self.now < START + LENGTH:
            self.now += DAY / 2
            self.run()
        self.now += DAY
        self.settle()
        assert not Payment.objects.filter(user=self.user, state__in=OPEN_STATES).exists()
        credited = Entry.objects.filter(user=self.user, operation="payment").count()
        assert credited == len(self.provider.taken()), "all that was taken is credited"
        assert reconcile(Scope(user_id=self.user.pk))[1] == []


def _one_of(choices: Sequence[Choice], which: int) -> Choice:
    return choices[which % len(choices)]
