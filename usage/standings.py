"""The limits of a key: results of the SQL functions as the domain's types."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

from ledger.errors import Budget
from usage.errors import CustomerKeyRateLimited


def budget_of(standing: dict[str, Any] | str | None) -> Budget | None:
    """Return the budget that `usage_key_standing` describes: what a key may spend, and when it is reset (UTC)."""
    if standing is None:
        return None
    said = json.loads(standing) if isinstance(standing, str) else standing
    resets_on = dt.date.fromisoformat(said["resets_on"])
    return Budget(
        scope="api_key",
        window="month",
        limit=Decimal(said["limit"]),
        spent=Decimal(said["spent"]),
        held=Decimal(said["held"]),
        resets_at=dt.datetime.combine(resets_on, dt.time(), dt.UTC),
    )


def rate_limited(limits: dict[str, Any] | str) -> CustomerKeyRateLimited:
    """Return the error for a call that `usage_take_call` did not admit."""
    said = json.loads(limits) if isinstance(limits, str) else limits
    return CustomerKeyRateLimited(
        limit=said["limit"], reset_at=said["reset_at"], reset_seconds=int(said["reset_seconds"])
    )
