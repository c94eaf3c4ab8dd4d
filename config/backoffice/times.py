"""Times as staff read them."""

from __future__ import annotations

import datetime as dt

from config.backoffice.credits import NOTHING


def shown_at(moment: dt.datetime | None) -> str:
    """Return a time in UTC, to the minute, so that a row fits a phone; a dash for None."""
    return NOTHING if moment is None else f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
