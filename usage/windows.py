"""The windows of statistics."""

from __future__ import annotations

import datetime as dt

PERIODS = ("daily", "monthly", "yearly")


def start_of_period(period: str, now: dt.datetime) -> dt.datetime:
    """Return the start of the current UTC day, month or year."""
    midnight = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "daily":
            return midnight
        case "monthly":
            return midnight.replace(day=1)
    return midnight.replace(month=1, day=1)
