"""A provider whose every attempt follows a script, and that remembers what it charged and when."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from ledger.models import PaymentState
from ledger.providers.base import Answer, NoAnswer, Order
from ledger.providers.fake import FakeProvider

APPROVE, DECLINE, AUTHENTICATE = "approve", "decline", "authenticate"
TIME_OUT, LOSE_ANSWER, LOSE_DECLINE = "time out", "lose the answer", "lose the answer of a decline"
MODES = (APPROVE, DECLINE, AUTHENTICATE, TIME_OUT, LOSE_ANSWER, LOSE_DECLINE)
_STATES = {
    APPROVE: PaymentState.SUCCEEDED,
    LOSE_ANSWER: PaymentState.SUCCEEDED,
    DECLINE: PaymentState.FAILED,
    LOSE_DECLINE: PaymentState.FAILED,
    AUTHENTICATE: PaymentState.REQUIRES_ACTION,
}


@dataclass
class Attempt:
    """One order that arrived, and its state at the provider."""

    order: Order
    state: PaymentState


class ScriptedProvider(FakeProvider):
    """A provider that treats the next charge as `mode` says; `watch` is called with each order before it is charged."""

    def __init__(self, watch: Callable[[Order, str], None]) -> None:
        super().__init__(page_url="http://pay.example/")
        self.mode = APPROVE
        self.watch = watch
        self.arrived: dict[uuid.UUID, Attempt] = {}

    def charge(self, order: Order) -> Answer:
        assert order.key not in self.arrived, "a key is charged once"
        self.watch(order, self.mode)
        if self.mode == TIME_OUT:
            raise NoAnswer("timed out")
        self.arrived[order.key] = Attempt(order, _STATES[self.mode])
        if self.mode in (LOSE_ANSWER, LOSE_DECLINE):
            raise NoAnswer("lost")
        return self.answer(order.key)

    def look_up(self, order: Order) -> Answer | None:
        return self.answer(order.key) if order.key in self.arrived else None

    def cancel(self, order: Order) -> Answer:
        self.move(order.key, PaymentState.EXPIRED)
        return self.answer(order.key)

    def move(self, key: uuid.UUID, state: PaymentState) -> None:
        """End a payment that waits for the customer, as the customer or time would."""
        if self.arrived[key].state == PaymentState.REQUIRES_ACTION:
            self.arrived[key].state = state

    def answer(self, key: uuid.UUID) -> Answer:
        attempt = self.arrived[key]
        said = self._answer_in(attempt.order, attempt.state, attempt.order.method_id)
        if attempt.state == PaymentState.FAILED:
            return replace(said, failure_code="card_declined", failure_message="Your card was declined.")
        return replace(said, action_url=self.page_url if attempt.state == PaymentState.REQUIRES_ACTION else None)

    def taken(self) -> list[uuid.UUID]:
        """Return the keys of the orders that were paid."""
        return [key for key, attempt in self.arrived.items() if attempt.state == PaymentState.SUCCEEDED]
