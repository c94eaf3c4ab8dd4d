"""A customer's account for endpoint tests: a signed-in client, credits and a history."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Iterable
from decimal import Decimal

from django.utils import timezone
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import TokenFamily, User
from ledger.models import EntryReason
from ledger.services.grants import grant_credits
from usage.services.imports.recording import Line, Recorded, record_lines
from usage.services.imports.reported import ReportedRequest

_numbers = itertools.count()


def client_of(user: User) -> APIClient:
    """Return a client with an access token of the user, as after signing in.

    No password is looked at: its dozen queries would cost more than what most tests ask of the client.
    """
    now = timezone.now()
    User.objects.filter(pk=user.pk).update(last_login=now)
    family = TokenFamily.objects.create(user=user, created_at=now, expires_at=tokens.refresh_token_ends_at(now))
    pair = tokens.make_pair(user=user, family_id=family.pk, now=now)
    return APIClient(headers={"Authorization": f"Bearer {pair.access}"})


def give(user: User, credits: str | int, *, reference: str | None = None) -> None:
    """Grant credits, under a new key each time."""
    grant_credits(
        user_id=user.pk,
        amount=Decimal(credits),
        reason=EntryReason.PURCHASE,
        reference=reference,
        idempotency_key=f"test {next(_numbers)}",
    )


def requested(user: User, requests: Iterable[tuple[dt.datetime, str, int]], *, charge: bool = True) -> Recorded:
    """Record requests, each a time, an endpoint and a status."""
    lines = [
        Line(
            hashlib.sha256(str(next(_numbers)).encode()).digest(),
            ReportedRequest(customer=user.email, path=path, method="GET", status=status, occurred_at=at),
        )
        for at, path, status in requests
    ]
    return record_lines(user_id=user.pk, source="test", lines=lines, charge=charge)
