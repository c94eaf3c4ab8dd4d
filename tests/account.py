"""A customer's account for endpoint tests: signed in, with credits and a history, all through services."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Iterable
from decimal import Decimal

from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services.signing_in.sessions import sign_in
from ledger.models import EntryReason
from ledger.services.grants import grant_credits
from tests.factories import PASSWORD
from usage.services.imports.recording import Line, Recorded, record_lines
from usage.services.imports.reported import ReportedRequest

_numbers = itertools.count()


def client_of(user: User, *, password: str = PASSWORD) -> APIClient:
    """Give a client with the user's access token."""
    pair = sign_in(email=user.email, password=password, address=None, now=timezone.now())
    return APIClient(headers={"Authorization": f"Bearer {pair.access}"})


def give(user: User, credits: str | int, *, reference: str | None = None) -> None:
    """Grant credits, under a key of its own each time."""
    grant_credits(
        user_id=user.pk,
        amount=Decimal(credits),
        reason=EntryReason.PURCHASE,
        reference=reference,
        idempotency_key=f"test {next(_numbers)}",
    )


def requested(user: User, requests: Iterable[tuple[dt.datetime, str, int]], *, charge: bool = True) -> Recorded:
    """Record requests, each a moment, an endpoint and a status."""
    lines = [
        Line(
            hashlib.sha256(str(next(_numbers)).encode()).digest(),
            ReportedRequest(customer=user.email, path=path, method="GET", status=status, occurred_at=at),
        )
        for at, path, status in requests
    ]
    return record_lines(user_id=user.pk, source="test", lines=lines, charge=charge)
