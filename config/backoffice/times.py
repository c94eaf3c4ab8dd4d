"""Moments as staff read them."""

from __future__ import annotations

import datetime as dt

from config.backoffice.credits import NOTHING


def shown_at(moment: dt.datetime | None) -> str:
    """Print a moment in UTC, to the minute, so that a row fits a telephone; a dash when there is none."""
    return NOTHING if moment is None else f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
