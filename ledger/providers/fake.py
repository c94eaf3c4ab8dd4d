"""A provider for demos and tests: no network, no money, and the same answer to the same question in every process.

The outcome of a payment depends on its card alone (`fake_card_decline`, or `fake_card_decline:` and a customer), so
that another process returns the same as this one. Only what tests change by hand (`pay`, `give_up`) is remembered, in
this process.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from django.conf import settings

from ledger.models import PaymentState
from ledger.providers.base import (
    Answer,
    Card,
    CardSaving,
    DisputeStatement,
    NoAnswer,
    Order,
    Refunded,
    Refused,
    Statement,
)

APPROVE, DECLINE, AUTHENTICATE = "fake_card_approve", "fake_card_decline", "fake_card_authenticate"
TIME_OUT, ANSWER_LOST = "fake_card_time_out", "fake_card_answer_lost"
CARDS = {APPROVE: "4242", DECLINE: "0002", AUTHENTICATE: "3220", TIME_OUT: "0408", ANSWER_LOST: "0504"}

_DECLINED = ("card_declined", "Your card was declined.")


class FakeProvider:
    """Approves, declines, requires authentication, times out, or loses its response after charging."""

    name = "fake"

    def __init__(self, *, page_url: str) -> None:
        self.page_url = page_url
        self.charges: list[uuid.UUID] = []  # one for each charge that was paid, in this process
        self.refunds: dict[uuid.UUID, Refunded] = {}  # by their keys, in this process
        self._asked: set[uuid.UUID] = set()
        self._changed: dict[uuid.UUID, PaymentState] = {}

    def create_customer(self, *, user_id: int, email: str, key: uuid.UUID) -> str:  # noqa: ARG002
        return f"fake_customer_{user_id}"

    def charge(self, order: Order) -> Answer:
        if _kind(order.method_id) not in CARDS:
            raise Refused("resource_missing", "There is no such card.")
        if _kind(order.method_id) == TIME_OUT:
            raise NoAnswer("The provider did not answer in time.")
        answer = self._answer(order)
        self._asked.add(order.key)
        if answer.state == PaymentState.SUCCEEDED and order.key not in self.charges:
            self.charges.append(order.key)
        if _kind(order.method_id) == ANSWER_LOST:
            raise NoAnswer("The connection broke after the provider was asked.")
        return answer

    def start_checkout(self, order: Order) -> Answer:
        answer = self._answer_in(order, PaymentState.REQUIRES_ACTION)
        return replace(answer, checkout_id=f"fake_checkout_{order.key}", action_url=self.page_url)

    def look_up(self, order: Order) -> Answer | None:
        """Return the state of an order; a page counts as paid when it is looked up, unless it was given up."""
        if order.method_id is not None:
            is_known = order.provider_payment_id is not None or order.key in self._asked
            return self._answer(order) if is_known or _kind(order.method_id) == ANSWER_LOST else None
        if order.checkout_id is None:
            return None
        state = self._changed.get(order.key, PaymentState.SUCCEEDED)
        if state != PaymentState.SUCCEEDED:
            return self._answer_in(order, state)
        return self._answer_in(order, state, f"{APPROVE}:{order.customer_id}")

    def cancel(self, order: Order) -> Answer:
        is_paid = order.key in self.charges or self._changed.get(order.key) == PaymentState.SUCCEEDED
        if not is_paid:
            self._changed[order.key] = PaymentState.EXPIRED
        state = PaymentState.SUCCEEDED if is_paid else PaymentState.EXPIRED
        return self._answer_in(order, state, order.method_id)

    def refund(self, order: Order, *, key: uuid.UUID, amount_minor: int) -> Refunded:
        """Refund anything; the id follows from the key, so that another process that repeats it refunds no more."""
        if order.provider_payment_id is None:
            raise Refused("resource_missing", "There is no such payment.")
        return self.refunds.setdefault(key, Refunded(f"fake_refund_{key}", amount_minor, order.currency))

    def look_up_refund(self, order: Order, *, key: uuid.UUID) -> Refunded | None:  # noqa: ARG002
        return self.refunds.get(key)

    def statements(self, orders: Iterable[Order], *, since: dt.datetime) -> Iterator[Statement]:  # noqa: ARG002
        """Return the given orders alone: the fake never received any other."""
        for order in orders:
            answer = self.look_up(order)
            if answer is not None:
                yield Statement(
                    order.key, answer.state, answer.amount_minor, answer.currency, None, answer.provider_payment_id
                )

    def disputes(self, *, since: dt.datetime) -> Iterator[DisputeStatement] | None:  # noqa: ARG002
        """Return None: the fake takes no money, so nothing is disputed."""
        return None

    def start_saving_card(self, *, customer_id: str, key: uuid.UUID) -> CardSaving:  # noqa: ARG002
        return CardSaving(f"fake_setup_{key}", f"fake_setup_{key}_secret")

    def card(self, method_id: str) -> Card:
        if _kind(method_id) not in CARDS:
            raise Refused("resource_missing", "There is no such card.")
        return Card(method_id, None, "visa", CARDS[_kind(method_id)], 12, 2040, fingerprint=method_id)

    def forget_card(self, method_id: str) -> None:
        """Do nothing: no card is kept."""

    def pay(self, key: uuid.UUID) -> None:
        """Act as the customer who pays or confirms."""
        self._changed[key] = PaymentState.SUCCEEDED
        self.charges.append(key)

    def give_up(self, key: uuid.UUID) -> None:
        """Act as the customer who leaves, so that the page expires."""
        self._changed[key] = PaymentState.EXPIRED

    def _answer(self, order: Order) -> Answer:
        if _kind(order.method_id) == DECLINE:
            code, message = _DECLINED
            answer = self._answer_in(order, PaymentState.FAILED, order.method_id)
            return replace(answer, failure_code=code, failure_message=message)
        if _kind(order.method_id) == AUTHENTICATE:
            state = self._changed.get(order.key, PaymentState.REQUIRES_ACTION)
            answer = self._answer_in(order, state, order.method_id)
            return replace(answer, action_url=self.page_url if state == PaymentState.REQUIRES_ACTION else None)
        return self._answer_in(order, PaymentState.SUCCEEDED, order.method_id)

    def _answer_in(self, order: Order, state: PaymentState, method_id: str | None = None) -> Answer:
        return Answer(
            state,
            amount_minor=order.amount_minor,
            currency=order.currency,
            customer_id=order.customer_id,
            provider_payment_id=f"fake_payment_{order.key}" if method_id else None,
            checkout_id=order.checkout_id,
            method_id=method_id,
        )


def from_settings() -> FakeProvider:
    """Return this process's fake provider, which remembers what `pay` and `give_up` changed."""
    return _made(settings.TOP_UP_URL)


@cache
def _made(page_url: str) -> FakeProvider:
    return FakeProvider(page_url=page_url)


def _kind(method_id: str | None) -> str:
    return (method_id or "").partition(":")[0]
