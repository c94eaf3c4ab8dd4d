"""How long to wait after a limit within a window is used up: one rule for guesses, purchases and endpoints."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from django.db.models import QuerySet


def seconds_to_wait(
    made: QuerySet[Any], allowed: int, window: dt.timedelta, now: dt.datetime, *, at: str = "created_at"
) -> int:
    """Return in how many whole seconds fewer than `allowed` rows lie within the window; 0 if fewer do at `now`.

    `at` names the column that says when a row was made.
    """
    latest = made.filter(**{f"{at}__gt": now - window}).order_by(f"-{at}").values_list(at, flat=True)
    return max(
        (math.ceil((taken + window - now).total_seconds()) for taken in latest[allowed - 1 : allowed]), default=0
    )
