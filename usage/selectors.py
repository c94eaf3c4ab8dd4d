"""What customers used, summed exactly for any window: reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection

from ledger.selectors import BALANCE_QUERY, CreditBalance, credit_balance
from usage.models import ReconciliationRun

DAY = dt.timedelta(days=1)
# How far ahead of the clock a request may be reported (events, contract §4): no log row lies further ahead.
EARLIEST = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Usage:
    """Requests and credits of one customer in a window; rejected requests are not among them."""

    successful: int = 0
    failed: int = 0
    credits: Decimal = Decimal(0)
    by_endpoint: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.successful + self.failed


@dataclass(frozen=True)
class _Slice:
    """A stretch of the log that is added to the sums (+1) or taken from them (-1)."""

    start: dt.datetime
    end: dt.datetime
    sign: int


def _midnight(at: dt.datetime) -> dt.datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def cover(start: dt.datetime, end: dt.datetime, now: dt.datetime) -> tuple[dt.date, dt.date, list[_Slice]]:
    """Cut a window into whole UTC days, for the roll-up, and stretches of the log that make its edges exact.

    An edge inside a day is either added from the log or, when that is less to read, taken away from the whole
    day: "this month until now" reads the sums and the (empty) rest of today.
    """
    start, end = start.astimezone(dt.UTC), end.astimezone(dt.UTC)
    first, last = _midnight(start), _midnight(end)
    if first == last:
        return _within_a_day(start, end, now)
    days_from, days_to, slices = first, last, []
    if start > first:
        if start - first < DAY / 2:
            slices.append(_Slice(first, start, -1))
        else:
            days_from = first + DAY
            slices.append(_Slice(start, first + DAY, +1))
    if end > last:
        rest_of_day = min(last + DAY, max(now + EARLIEST, end)) - end
        if rest_of_day < end - last:
            days_to = last + DAY
            slices.append(_Slice(end, last + DAY, -1))
        else:
            slices.append(_Slice(last, end, +1))
    return days_from.date(), days_to.date(), [part for part in slices if part.start < part.end]


def _within_a_day(start: dt.datetime, end: dt.datetime, now: dt.datetime) -> tuple[dt.date, dt.date, list[_Slice]]:
    day = _midnight(start)
    outside = (start - day) + max(min(day + DAY, now + EARLIEST) - end, dt.timedelta(0))
    if end - start <= outside:
        return day.date(), day.date(), [_Slice(start, end, +1)]
    edges = [_Slice(day, start, -1), _Slice(end, day + DAY, -1)]
    return day.date(), (day + DAY).date(), [part for part in edges if part.start < part.end]


_SUMS = """
    SELECT endpoint, sum(successful)::bigint, sum(failed)::bigint, sum(credits) FROM (
        SELECT endpoint, successful, failed, credits FROM usage_dailyusage
        WHERE user_id = %s AND day >= %s AND day < %s
        {slices}
    ) parts GROUP BY endpoint ORDER BY endpoint
"""
_SLICE = """
        UNION ALL
        SELECT endpoint, %s * count(*) FILTER (WHERE status < 400),
            %s * count(*) FILTER (WHERE status >= 400 AND status NOT IN (401, 402, 429)), %s * sum(credits)
        FROM usage_requestlog WHERE user_id = %s AND occurred_at >= %s AND occurred_at < %s GROUP BY endpoint
"""


def usage_of(*, user_id: int, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> Usage:
    """Sum a customer's requests that occurred in `[start, end)`, in one statement, exactly.

    Credits are what those requests cost, less what was given back for them.
    """
    first_day, day_after, slices = cover(start, end, now)
    parameters: list[Any] = [user_id, first_day, day_after]
    for part in slices:
        parameters += [part.sign, part.sign, part.sign, user_id, part.start, part.end]
    with connection.cursor() as cursor:
        cursor.execute(_SUMS.format(slices=_SLICE * len(slices)), parameters)
        return _usage(cursor.fetchall())


_LIFE = f"""
    SELECT credits.*, life.successful, life.failed
    FROM ({BALANCE_QUERY}) credits, (
        SELECT coalesce(sum(successful), 0)::bigint AS successful, coalesce(sum(failed), 0)::bigint AS failed
        FROM usage_dailyusage WHERE user_id = %s
    ) life
"""


@dataclass(frozen=True)
class Life:
    """What a customer has, and all they ever asked for, at one moment."""

    credits: CreditBalance
    successful_requests: int
    failed_requests: int

    @property
    def total_requests(self) -> int:
        return self.successful_requests + self.failed_requests


def life_of(*, user_id: int) -> Life:
    """Give a customer's credits and the number of their requests since the beginning, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(_LIFE, [user_id, user_id])
        *balance, successful, failed = cursor.fetchone()
    return Life(credit_balance(user_id, *balance), successful, failed)


def _usage(rows: list[tuple[str, int, int, Decimal]]) -> Usage:
    return Usage(
        successful=sum(row[1] for row in rows),
        failed=sum(row[2] for row in rows),
        credits=sum((row[3] for row in rows), Decimal(0)),
        by_endpoint={endpoint: ok + failed for endpoint, ok, failed, _ in rows if ok + failed},
    )


def last_full_audit() -> ReconciliationRun | None:
    """Give the latest `reconcile` that looked at everything."""
    return ReconciliationRun.objects.filter(is_full=True).order_by("-finished_at").first()
