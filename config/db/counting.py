"""Count rows without reading all of a long list."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

MOST_COUNTED = 1_000
"""Rows that a list counts one by one; of a longer one `count` is null, or its pages would cost more with each row."""


def exact_count(found: int) -> int | None:
    """Return the number of rows that a count capped at MOST_COUNTED + 1 found; None if there are more."""
    return found if found <= MOST_COUNTED else None


def counted(rows: QuerySet[Any]) -> int | None:
    """Return the number of rows; None if there are more than MOST_COUNTED."""
    return exact_count(rows.order_by()[: MOST_COUNTED + 1].count())
