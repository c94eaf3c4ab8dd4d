"""Times as staff read them."""

from __future__ import annotations

import datetime as dt

from config.backoffice.credits import NOTHING

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def age_of(moment: dt.datetime, now: dt.datetime) -> str:
    """Return how long ago a time was, by its largest unit: `5 minutes`, `3 hours`, `1 day`."""
    seconds = int((now - moment).total_seconds())
    for unit, length in _UNITS:
        if seconds >= length:
            number = seconds // length
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"


def shown_at(moment: dt.datetime | None) -> str:
    """Return a time in UTC, to the minute, so that a row fits a phone; a dash for None."""
    return NOTHING if moment is None else f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
