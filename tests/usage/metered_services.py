"""A customer's program, for tests of metered services."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.test import Client

from accounts.models import User
from ledger.models import Entry, EntryReason
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory
from usage.models import RequestLog


class Caller:
    """Calls the views of tests/usage/metered_views.py with a key of the customer's."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.raw = ApiKeyFactory(user=user).raw
        self.client = Client(raise_request_exception=False)

    def post(self, path: str, body: Any = None, *, repeat_key: str | None = None, **headers: Any) -> Any:
        """Send JSON to `/v2/<path>`; `repeat_key` is the idempotency key."""
        sent = {"X-API-KEY": self.raw} | ({"Idempotency-Key": repeat_key} if repeat_key is not None else {})
        sent = {name: value for name, value in (sent | headers).items() if value is not None}
        return self.client.post(f"/v2/{path}", body if body is not None else {}, "application/json", headers=sent)

    def sums(self) -> tuple[Decimal, Decimal]:
        """Return the balance, and the reserved part of it."""
        had = balance_of(user_id=self.user.pk)
        return had.balance, had.reserved


def captures(user: User) -> list[Decimal]:
    """Return the credits debited from the customer for requests, oldest first."""
    reasons = (EntryReason.CAPTURE, EntryReason.USAGE)
    return [-entry.amount for entry in Entry.objects.filter(user=user, reason__in=reasons).order_by("seq")]


def logged(user: User) -> list[tuple[str, int, Decimal, Decimal]]:
    """Return the customer's requests: endpoint, status, units, credits; oldest first."""
    rows = RequestLog.objects.filter(user=user).order_by("id")
    return [(row.endpoint, row.status, row.units, row.credits) for row in rows]
