"""Selectors of usage: what customers used, summed exactly for any window. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import (
    Case,
    Count,
    DateField,
    DateTimeField,
    DecimalField,
    Exists,
    F,
    Func,
    Max,
    OuterRef,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from accounts.models import ApiKey, Subscription
from accounts.models.api_key import ApiKeyQuerySet
from accounts.selectors import live_subscription_of, live_subscription_statement, subscription_of_row
from config.db.prepared import read_prepared, read_with_names
from config.db.snapshot import snapshot
from config.values.credits import percentage
from ledger.selectors import BALANCE_QUERY, CreditBalance, credit_balance
from usage.errors import CustomerKeyInvalid
from usage.models import DroppedMonth, ReconciliationFinding, ReconciliationRun, RequestLog
from usage.models.outcomes import HAS_FAILED

DAY = dt.timedelta(days=1)
# How far ahead of the clock a request may be reported (events, contract §4): no log row is further ahead.
EARLIEST = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Usage:
    """Requests and credits of one customer in a window; rejected requests are not among them."""

    successful: int = 0
    failed: int = 0
    credits: Decimal = Decimal(0)
    by_endpoint: dict[str, int] = field(default_factory=dict)
    widened_to: tuple[dt.datetime, dt.datetime] | None = None  # whole days, if the exact log is gone

    @property
    def total(self) -> int:
        return self.successful + self.failed


@dataclass(frozen=True)
class _Slice:
    """A range of the log that is added to the sums (+1) or subtracted from them (-1)."""

    start: dt.datetime
    end: dt.datetime
    sign: int


def _midnight(at: dt.datetime) -> dt.datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def cover(start: dt.datetime, end: dt.datetime, now: dt.datetime) -> tuple[dt.date, dt.date, list[_Slice]]:
    """Cut a window into whole UTC days, read from the sums, and ranges of the log that make its edges exact.

    An edge inside a day is either added from the log or, when that is less to read, subtracted from the whole
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
    ) parts GROUP BY endpoint {gone} ORDER BY endpoint
"""
_SLICE = f"""
        UNION ALL
        SELECT endpoint, %s * count(*) FILTER (WHERE status < 400),
            %s * count(*) FILTER (WHERE {HAS_FAILED}), %s * sum(credits)
        FROM usage_requestlog WHERE user_id = %s AND occurred_at >= %s AND occurred_at < %s GROUP BY endpoint
        UNION ALL
        SELECT endpoint, 0, 0, %s * sum(credits)
        FROM usage_refund WHERE user_id = %s AND occurred_at >= %s AND occurred_at < %s GROUP BY endpoint
"""


# Added, as the last row, when the log is read: the number of dropped months among those of the edges.
_GONE = "UNION ALL SELECT NULL, count(*), 0, 0 FROM usage_droppedmonth WHERE month = ANY(%s)"


def usage_of(*, user_id: int, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> Usage:
    """Sum a customer's requests that occurred in `[start, end)`, in one statement, exactly.

    Credits are the cost of those requests, less their refunds. An edge inside a day whose log was dropped cannot be
    exact: then the window is widened to that whole day, as the result shows.
    """
    usage = _usage_in(user_id, start, end, now)
    if usage is not None:
        return usage
    gone = set(DroppedMonth.objects.values_list("month", flat=True))
    start, end = _to_whole_days(start, end, gone)
    usage = _usage_in(user_id, start, end, now)
    if usage is None:  # another month was dropped meanwhile: whole days need no log that could be gone
        start, end = _midnight(start), _day_after(end)
        usage = _usage_in(user_id, start, end, now) or Usage()
    return replace(usage, widened_to=(start, end))


def _usage_in(user_id: int, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> Usage | None:
    """Sum a window; return None if it needs log that is gone."""
    sums = _sums_of(user_id, start, end, now)
    return sums.usage(read_prepared(sums.query, sums.parameters))


@dataclass(frozen=True)
class _Sums:
    """The statement that sums a window, and the reader of its rows."""

    query: str
    parameters: list[Any]
    reads_log: bool

    def usage(self, rows: list[tuple[str, int, int, Decimal]]) -> Usage | None:
        """Return the usage from its rows; None if it needs log that is gone."""
        if self.reads_log and rows.pop()[1]:
            return None
        return _usage(rows)


def _sums_of(user_id: int, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> _Sums:
    first_day, day_after, slices = cover(start, end, now)
    parameters: list[Any] = [user_id, first_day, day_after]
    for part in slices:
        span = [user_id, part.start, part.end]
        parameters += [part.sign, part.sign, part.sign, *span, -part.sign, *span]
    if slices:
        parameters.append([part.start.date().replace(day=1) for part in slices])
    query = _SUMS.format(slices=_SLICE * len(slices), gone=_GONE if slices else "")
    return _Sums(query, parameters, reads_log=bool(slices))


def _to_whole_days(start: dt.datetime, end: dt.datetime, gone: Collection[dt.date]) -> tuple[dt.datetime, dt.datetime]:
    """Move the edges that lie in months whose log is gone outward to midnight."""
    start, end = start.astimezone(dt.UTC), end.astimezone(dt.UTC)
    is_first_day_gone = start.date().replace(day=1) in gone
    is_last_day_gone = (end - dt.timedelta(microseconds=1)).date().replace(day=1) in gone
    return (_midnight(start) if is_first_day_gone else start, _day_after(end) if is_last_day_gone else end)


def _day_after(end: dt.datetime) -> dt.datetime:
    return _midnight(end - dt.timedelta(microseconds=1)) + DAY


def log_months() -> list[dt.date]:
    """Return the first days of the months for which the log has partitions, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_date(substring(c.relname FROM '[0-9]{4}_[0-9]{2}$'), 'YYYY_MM')"
            " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'usage_requestlog'::regclass ORDER BY 1"
        )
        return [month for (month,) in cursor.fetchall()]


def requests_of_month(month: dt.date) -> tuple[int, dt.datetime | None]:
    """Return the number of requests that the log has of a month, and when the last of them was recorded."""
    start = dt.datetime.combine(month, dt.time(), tzinfo=dt.UTC)
    end = (start + dt.timedelta(days=31)).replace(day=1)
    found = RequestLog.objects.filter(occurred_at__gte=start, occurred_at__lt=end)
    answer = found.aggregate(requests=Count("pk"), last=Max("recorded_at"))
    return answer["requests"], answer["last"]


def months_gone(*, user_id: int | None, first_day: dt.date, day_after: dt.date) -> list[dt.date]:
    """Return the months of `[first_day, day_after)` whose log was dropped, or that have sums without any log."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT month FROM usage_droppedmonth
                WHERE month < %(after)s AND month + interval '1 month' > %(first)s::date
            UNION
            SELECT DISTINCT date_trunc('month', day)::date FROM usage_dailyusage
                WHERE (%(user)s::bigint IS NULL OR user_id = %(user)s) AND day >= %(first)s AND day < %(after)s
                    AND to_regclass('public.usage_requestlog_' || to_char(day, 'YYYY_MM')) IS NULL
            ORDER BY 1""",
            {"user": user_id, "first": first_day, "after": day_after},
        )
        return [month for (month,) in cursor.fetchall()]


LIFE_QUERY = f"""
    SELECT credits.*, life.successful, life.failed
    FROM ({BALANCE_QUERY}) credits, (
        SELECT coalesce(sum(successful), 0)::bigint AS successful, coalesce(sum(failed), 0)::bigint AS failed
        FROM usage_dailyusage WHERE user_id = %s
    ) life
"""


@dataclass(frozen=True)
class LifetimeTotals:
    """A customer's credits and the totals of all their requests, read at one time."""

    credits: CreditBalance
    successful_requests: int
    failed_requests: int

    @property
    def total_requests(self) -> int:
        return self.successful_requests + self.failed_requests

    @property
    def success_rate(self) -> Decimal:
        """Return the share of successful requests, in percent."""
        return percentage(self.successful_requests, self.total_requests)


def lifetime_totals_of(*, user_id: int) -> LifetimeTotals:
    """Return a customer's credits and the totals of all their requests, read in one statement."""
    return _life(user_id, read_with_names(LIFE_QUERY, [user_id, user_id]).only())


def _life(user_id: int, row: Mapping[str, Any]) -> LifetimeTotals:
    return LifetimeTotals(credit_balance(user_id, row), row["successful"], row["failed"])


@dataclass(frozen=True)
class Overview:
    """A customer's credits, usage in a window, totals and plan, read at one time."""

    life: LifetimeTotals
    usage: Usage
    subscription: Subscription | None


# The sums of a window have a row an endpoint: here they are columns, and the query for the plan is joined.
_OVERVIEW = f"""
    SELECT life.*, window_sums.*, running.* FROM ({LIFE_QUERY}) life, (
        SELECT array_agg(endpoint) AS endpoints, array_agg(successful) AS successes, array_agg(failed) AS failures,
            array_agg(credits) AS costs
        FROM ({{sums}}) sums (endpoint, successful, failed, credits)
    ) window_sums LEFT JOIN ({{running}}) running ON true
"""


def overview_of(*, user_id: int, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> Overview:
    """Return `lifetime_totals_of`, `usage_of` and `live_subscription_of`, read in one statement.

    If log that the window's edges need is gone, they are read on one snapshot, with the window widened.
    """
    sums = _sums_of(user_id, start, end, now)
    running = live_subscription_statement()
    query = _OVERVIEW.format(sums=sums.query, running=running.text)
    found = read_with_names(query, [user_id, user_id, *sums.parameters, *running.filled({"user_id": user_id})])
    row = found.only()
    columns = [row[name] or () for name in ("endpoints", "successes", "failures", "costs")]
    usage = sums.usage(list(zip(*columns, strict=True)))
    if usage is None:
        with snapshot():
            return Overview(
                lifetime_totals_of(user_id=user_id),
                usage_of(user_id=user_id, start=start, end=end, now=now),
                live_subscription_of(user_id=user_id),
            )
    return Overview(_life(user_id, row), usage, subscription_of_row(found.rows[0]))


def _usage(rows: list[tuple[str, int, int, Decimal]]) -> Usage:
    return Usage(
        successful=sum(row[1] for row in rows),
        failed=sum(row[2] for row in rows),
        credits=sum((row[3] for row in rows), Decimal(0)),
        by_endpoint={endpoint: ok + failed for endpoint, ok, failed, _ in rows if ok + failed},
    )


class KeyOwner(NamedTuple):
    """The customer of a key, and whether a charge by it could be admitted at all."""

    user_id: int
    is_live: bool


def owner_of_key(*, key_hash: bytes, now: dt.datetime) -> KeyOwner:
    """Return the owner of the key with this SHA-256, even if it has ended.

    :raises CustomerKeyInvalid: if it is not a customer's key
    """
    keys = ApiKey.objects.filter(key_hash=key_hash, user__isnull=False)
    live = ApiKey.objects.working(now).filter(pk=OuterRef("pk"), user__is_active=True)
    row = keys.values_list("user_id", Exists(live)).first()
    if row is None:
        raise CustomerKeyInvalid
    return KeyOwner(*row)


class KeySpent(NamedTuple):
    """Credits spent by a key since the UTC day on which its count began; it is reset on `resets_on`."""

    credits: Decimal
    began_on: dt.date
    resets_on: dt.date


def spending_of_key(api_key: ApiKey, *, now: dt.datetime) -> KeySpent:
    """Return what was spent by a customer's key since its count began.

    Keys that rotations put in each other's place spend as one.
    """
    ((spent, began_on, resets_on),) = read_prepared(
        "SELECT usage_key_spent(%s, %s, began.on), began.on, usage_spending_ends(%s, began.on)"
        " FROM (SELECT usage_spending_began(%s, %s) AS on) began",
        [
            api_key.user_id, api_key.original_id or api_key.pk, api_key.spending_reset_day,
            api_key.spending_reset_day, now,
        ],
    )  # fmt: skip
    return KeySpent(spent, began_on, resets_on)


def with_spending(keys: ApiKeyQuerySet, *, now: dt.datetime) -> ApiKeyQuerySet:
    """Add `spent`, in credits, and `resets_at` to keys that have a limit; other keys are not counted."""
    began_on = Func(F("spending_reset_day"), Value(now), function="usage_spending_began", output_field=DateField())
    spent = Func(
        F("user_id"),
        Coalesce(F("original_id"), F("id")),
        began_on,
        function="usage_key_spent",
        output_field=DecimalField(max_digits=24, decimal_places=6),
    )
    resets_at = Func(
        F("spending_reset_day"),
        began_on,
        function="usage_spending_ends",
        template="%(function)s(%(expressions)s)::timestamp AT TIME ZONE 'UTC'",
        output_field=DateTimeField(),
    )
    return keys.annotate(
        spent=Case(When(spending_limit__isnull=False, then=spent)),
        resets_at=Case(When(spending_limit__isnull=False, then=resets_at)),
    )


def last_full_audit() -> ReconciliationRun | None:
    """Return the latest full run of `reconcile`."""
    return ReconciliationRun.objects.filter(is_full=True).order_by("-finished_at").first()


def open_findings() -> QuerySet[ReconciliationFinding]:
    """Return the findings of `reconcile` that nobody has closed."""
    return ReconciliationFinding.objects.filter(closed_at=None)
