"""Which days the figures cover."""

from __future__ import annotations

import datetime as dt

DAY = dt.timedelta(days=1)
CHARTED = 30
"""Days of a chart, today among them."""
SILENT = 30
"""Days without a request after which a customer counts as lost."""
KEPT = dt.timedelta(days=100)


def first_of_month(day: dt.date) -> dt.date:
    return day.replace(day=1)


def first_of_month_before(day: dt.date) -> dt.date:
    return first_of_month(first_of_month(day) - DAY)


def window_of(today: dt.date) -> tuple[dt.date, dt.date]:
    """Return the first and the last day that are folded: all that the front page may show today."""
    return min(first_of_month_before(today), today - DAY * (CHARTED - 1)), today


def midnight(day: dt.date) -> dt.datetime:
    """Return the beginning of a UTC day."""
    return dt.datetime.combine(day, dt.time(), dt.UTC)
