"""Grants for tests: with their own grant terms, and expired on demand."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import User
from ledger.models import Entry, Grant
from ledger.services.grant_terms import GrantChanged, end_grant, extend_grant
from ledger.services.grants import GrantTerms, settle_grants
from tests.factories import StaffFactory, give
from tests.ledger.tampering import unguarded


def granted(user: User, credits: Decimal | int | str, *, days: float | None = None, **terms: Any) -> Entry:
    """Grant credits that expire in that many days (None: never), with the given terms; each call is another grant."""
    if days is not None:
        terms["expires_at"] = timezone.now() + dt.timedelta(days=days)
    return give(user, credits, terms=GrantTerms(**terms))


def end(*grants: Entry) -> None:
    """Expire these grants now, as the clock would if a test could wait."""
    ids = [entry.pk for entry in grants]
    with unguarded() as connection:
        connection.execute("UPDATE ledger_grant SET expires_at = clock_timestamp() WHERE entry_id = ANY(%s)", [ids])
        connection.execute(
            "UPDATE ledger_balance SET next_expiry_at = least(next_expiry_at, ("
            "SELECT min(expires_at) FROM ledger_grant WHERE entry_id = ANY(%s))) WHERE user_id = %s",
            [ids, grants[0].user_id],
        )


def ended(grant: Entry, **asked: Any) -> GrantChanged:
    """Let a member of staff end a grant now, under a new key unless one is given."""
    return end_grant(user_id=grant.user_id, grant_id=grant.pk, **_asked(asked))


def extended(grant: Entry, *, days: float, **asked: Any) -> GrantChanged:
    """Let a grant end that many days later, by a member of staff and under a new key unless others are given."""
    settle_grants(user_id=grant.user_id)
    expires_at = Grant.objects.get(pk=grant.pk).expires_at
    assert expires_at is not None
    later = expires_at + dt.timedelta(days=days)
    return extend_grant(user_id=grant.user_id, grant_id=grant.pk, expires_at=later, **_asked(asked))


def _asked(asked: dict[str, Any]) -> dict[str, Any]:
    actor_id = asked.pop("actor_id", None) or StaffFactory().pk
    return {"note": "A test", "actor_id": actor_id, "idempotency_key": uuid.uuid4().hex} | asked


def left(user: User) -> dict[int, Decimal]:
    """Return what is left of each grant of a customer, by the entry that opened it."""
    settle_grants(user_id=user.pk)
    return dict(Grant.objects.of(user.pk).values_list("entry_id", "remaining"))
