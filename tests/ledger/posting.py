"""Short names for the services that these tests call most often."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from accounts.models import User
from ledger.models import EntryReason, EntryType, Hold
from ledger.services.controls import Changed, freeze_balance, set_overdraft_limit, unfreeze_balance
from ledger.services.entries import Posted, post_entry
from ledger.services.holds import HoldChange, open_hold
from tests.factories import StaffFactory
from tests.ledger.tampering import unguarded


def post(user: User | int, amount: Decimal | int | str, **asked: Any) -> Posted:
    """Post an adjustment of goodwill under a new key, unless other values are given."""
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


def run_out(*holds: Hold) -> None:
    """Expire these holds now, at the ends that the given objects name: what a test cannot wait for.

    A hold that was extended meanwhile stays open; its customer's balance is still due for settlement at its first end.
    """
    with unguarded() as connection:
        for each in holds:
            connection.execute(
                "UPDATE ledger_hold SET expires_at = clock_timestamp() WHERE id = %s AND expires_at = %s",
                [each.pk, each.expires_at],
            )
        connection.execute(
            "UPDATE ledger_balance SET next_expiry_at = least(next_expiry_at, clock_timestamp())"
            " WHERE user_id = ANY(%s)",
            [[each.user_id for each in holds]],
        )


def freeze(user: User, *, frozen: bool = True, **asked: Any) -> Changed:
    """Freeze or unfreeze a balance, as a member of staff and under a new key, unless others are given."""
    change = freeze_balance if frozen else unfreeze_balance
    return change(user_id=user.pk, **_terms_asked(asked))


def allow_overdraft(user: User, limit: Decimal | int | str, **asked: Any) -> Changed:
    """Set the overdraft limit of a balance, as a member of staff and under a new key, unless others are given."""
    return set_overdraft_limit(user_id=user.pk, limit=Decimal(limit), **_terms_asked(asked))


def _terms_asked(asked: dict[str, Any]) -> dict[str, Any]:
    actor_id = asked.pop("actor_id", None) or StaffFactory().pk
    return {"note": "A test", "actor_id": actor_id, "idempotency_key": uuid.uuid4().hex} | asked
