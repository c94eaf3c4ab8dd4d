"""Ducat, a made-up second provider: customers pay on its page, and only its webhooks report the outcome."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from django.conf import settings

from ledger.models import PaymentState
from ledger.providers.base import Answer, Order
from ledger.providers.fake import FakeProvider


class DucatProvider(FakeProvider):
    """Open checkout pages, and report every payment as pending."""

    name = "ducat"

    def create_customer(self, **asked: object) -> str:
        return f"ducat_customer_{asked['user_id']}"

    def start_checkout(self, order: Order) -> Answer:
        checkout_id = f"ducat_page_{order.key}"
        return replace(self.look_up(order), checkout_id=checkout_id, action_url=f"https://ducat.example/{checkout_id}")

    def look_up(self, order: Order) -> Answer:
        return self._answer_in(order, PaymentState.REQUIRES_ACTION)


def from_settings() -> DucatProvider:
    return _made(settings.DUCAT_KEY)


@cache
def _made(key: str) -> DucatProvider:
    return DucatProvider(page_url=f"https://ducat.example/?key={key}")
