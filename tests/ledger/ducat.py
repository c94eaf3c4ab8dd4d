"""Ducat, a made-up second provider: customers pay on its page, and only its webhooks report the outcome."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from django.conf import settings

from ledger.models import PaymentState
from ledger.providers.base import Answer, Order, Refunded, Statement
from ledger.providers.fake import FakeProvider


class DucatProvider(FakeProvider):
    """Open checkout pages, and report every payment as pending; of refunds, the total of each payment."""

    name = "ducat"

    def __init__(self, *, page_url: str) -> None:
        super().__init__(page_url=page_url)
        self.given_back: Counter[uuid.UUID] = Counter()

    def create_customer(self, **asked: object) -> str:
        return f"ducat_customer_{asked['user_id']}"

    def start_checkout(self, order: Order) -> Answer:
        checkout_id = f"ducat_page_{order.key}"
        return replace(self.look_up(order), checkout_id=checkout_id, action_url=f"https://ducat.example/{checkout_id}")

    def look_up(self, order: Order) -> Answer:
        return self._answer_in(order, PaymentState.REQUIRES_ACTION)

    def refund(self, order: Order, *, key: uuid.UUID, amount_minor: int) -> Refunded:
        if key not in self.refunds:
            self.given_back[order.key] += amount_minor
        made = super().refund(order, key=key, amount_minor=amount_minor)
        return replace(made, refunded_minor=self.given_back[order.key])

    def statements(self, orders: Iterable[Order], *, since: dt.datetime) -> Iterator[Statement]:
        for order in orders:
            paid = PaymentState.SUCCEEDED if order.provider_payment_id else PaymentState.REQUIRES_ACTION
            yield Statement(
                order.key, paid, order.amount_minor, order.currency, self.given_back[order.key],
                order.provider_payment_id,
            )  # fmt: skip


def from_settings() -> DucatProvider:
    return _made(settings.DUCAT_KEY)


@cache
def _made(key: str) -> DucatProvider:
    return DucatProvider(page_url=f"https://ducat.example/?key={key}")
