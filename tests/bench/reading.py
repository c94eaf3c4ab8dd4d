"""Reads at size: the time of a selector on a large account against a small one, or deep in a list against its start."""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from ledger.selectors import ledger_of
from tests.bench.stage import ACCOUNTS
from usage.selectors import usage_of
from usage.windows import start_of_period

BIG, SMALL = ACCOUNTS + 1, ACCOUNTS + 2
CALLS = 60


def month_of_usage(user_id: int) -> Callable[[], Any]:
    """Read the running month, as `GET /auth/account/usage` does by default."""
    now = timezone.now()
    return lambda: usage_of(user_id=user_id, start=start_of_period("monthly", now), end=now, now=now)


def odd_window(user_id: int) -> Callable[[], Any]:
    """Read a window whose edges both lie within a day."""
    now = timezone.now()
    start = start_of_period("monthly", now) + dt.timedelta(hours=5, minutes=7)
    return lambda: usage_of(user_id=user_id, start=start, end=now - dt.timedelta(hours=7, minutes=3), now=now)


def ledger_page(offset: int) -> Callable[[], Any]:
    """Read fifty entries at an offset, with the exact total."""

    def read() -> Any:
        pages = ledger_of(user_id=BIG)
        return pages.count(), pages.page(limit=50, offset=offset)

    return read


def ledger_cursor(seq: int) -> Callable[[], Any]:
    """Read fifty entries behind a cursor."""
    return lambda: ledger_of(user_id=BIG).after([seq], limit=50)


def ledger_dates() -> Callable[[], Any]:
    """Read fifty entries of a range of time, with the exact total."""
    now = timezone.now()
    return lambda: (
        (pages := ledger_of(user_id=BIG, start=now - dt.timedelta(days=1), end=now)).count()
        and pages.page(limit=50, offset=1000)
    )


def milliseconds(read: Callable[[], Any]) -> float:
    """Return the median time of a read, in milliseconds."""
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        read()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000
