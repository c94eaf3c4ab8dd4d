"""The words and figures of statements, the same in CSV and PDF."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from config.values.credits import plain
from usage.services.statements.statement import Statement

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def shown(credits: Decimal) -> str:
    """Return credits with separators of thousands and as many places as they need: `1,234.5`."""
    return f"{plain(credits):,f}"


def shown_signed(credits: Decimal) -> str:
    return f"{plain(credits):+,f}" if credits else "0"


def month_of(statement: Statement) -> str:
    return f"{_MONTHS[statement.month.month - 1]} {statement.month.year}"


def period_of(statement: Statement) -> str:
    last = (statement.end - dt.timedelta(days=1)).date()
    return f"{statement.start:%Y-%m-%d} to {last}, days in UTC"


def so_far(statement: Statement) -> str:
    """Return the sentence of a statement whose month is not over; empty if it is."""
    if not statement.is_running:
        return ""
    return f"The month is not over: this is what there was until {statement.produced_at:%Y-%m-%d %H:%M:%S} UTC."


def filename_of(statement: Statement, extension: str) -> str:
    return f"statement-{statement.user_id}-{statement.month:%Y-%m}.{extension}"
