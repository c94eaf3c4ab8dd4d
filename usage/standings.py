"""What the SQL functions say of a key's limits, in the domain's words."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

from ledger.errors import Budget
from usage.errors import CustomerKeyRateLimited


def budget_of(standing: dict[str, Any] | str | None) -> Budget | None:
    """Read what `usage_key_standing` says: what a key may spend, and when that begins anew (UTC)."""
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
    """Make the refusal of what `usage_take_call` would not let pass."""
    said = json.loads(limits) if isinstance(limits, str) else limits
    return CustomerKeyRateLimited(
        limit=said["limit"], reset_at=said["reset_at"], reset_seconds=int(said["reset_seconds"])
    )
