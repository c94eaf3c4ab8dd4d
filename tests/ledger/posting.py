"""Shorter words for the services that these tests call over and over."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from accounts.models import User
from ledger.models import EntryReason, EntryType
from ledger.services.entries import Posted, post_entry
from ledger.services.holds import HoldChange, open_hold


def post(user: User | int, amount: Decimal | int | str, **asked: Any) -> Posted:
    """Post an adjustment of goodwill, under a new key, unless something else is asked."""
    defaults = {
        "type": EntryType.ADJUSTMENT,
        "reason": EntryReason.GOODWILL,
        "description": "A test",
        "operation": "test",
        "idempotency_key": uuid.uuid4().hex,
    }
    return post_entry(user_id=getattr(user, "pk", user), amount=Decimal(amount), **defaults | asked)


def hold(user: User | int, credits: Decimal | int | str, *, seconds: int = 900, **asked: Any) -> HoldChange:
    """Open a hold under a new key, unless one is given."""
    defaults = {"idempotency_key": uuid.uuid4().hex}
    return open_hold(
        user_id=getattr(user, "pk", user), credits=Decimal(credits), expires_in_seconds=seconds, **defaults | asked
    )
