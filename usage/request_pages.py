"""Pages of the request log, whose cost grows neither with the log nor with the depth (docs/decisions/0016)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from config.db.arrays import plain_array
from config.db.statements import Statement
from config.values.cursors import BrokenCursor
from usage.models import Outcome, RequestLog
from usage.models.outcomes import HAS_FAILED, IS_REJECTED
from usage.selectors import DAY, cover

# The most that a count may read; a customer with more requests in the window is not counted by key.
COUNTABLE = 100_000
_FIRST, _END = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2101, 1, 1, tzinfo=dt.UTC)

# The number of requests of each day of the window: by the sums and, at its edges, the log. The sums of a dropped month
# stay, though only later reports are left to list: for these months only the log counts.
_DAYS = """
    SELECT day, sum(n)::bigint FROM (
        SELECT day, n FROM (
            SELECT day, sum({summed}) AS n FROM usage_dailyusage
            WHERE user_id = %(user)s AND day >= %(first_day)s AND day < %(day_after)s {by_endpoint}
            GROUP BY day OFFSET 0  -- so that months are looked up for each day, not for each row
        ) sums
        WHERE NOT EXISTS (SELECT FROM usage_droppedmonth WHERE month = date_trunc('month', day)::date)
            AND to_regclass('public.usage_requestlog_' || to_char(day, 'YYYY_MM')) IS NOT NULL
        {slices}
        UNION ALL
        SELECT (occurred_at AT TIME ZONE 'UTC')::date, 1
        FROM usage_droppedmonth gone CROSS JOIN LATERAL (
            SELECT occurred_at FROM usage_requestlog log
            WHERE user_id = %(user)s AND occurred_at >= %(start)s AND occurred_at < %(end)s {where}
                AND occurred_at >= gone.month::timestamp AT TIME ZONE 'UTC'
                AND occurred_at < (gone.month + interval '1 month') AT TIME ZONE 'UTC'
            OFFSET 0  -- month by month, however many months the planner expects
        ) reported_since
    ) parts
    GROUP BY day HAVING sum(n) > 0 ORDER BY day DESC
"""
_SLICE = """
        UNION ALL
        SELECT %(day_{i})s::date, %(sign_{i})s * count(*) FROM usage_requestlog log
        WHERE user_id = %(user)s AND occurred_at >= %(start_{i})s AND occurred_at < %(end_{i})s {where}
            AND NOT EXISTS (SELECT FROM usage_droppedmonth WHERE month = date_trunc('month', %(day_{i})s::date)::date)
"""
_COUNT = """
    SELECT count(*) FROM usage_requestlog log
    WHERE user_id = %(user)s AND occurred_at >= %(start)s AND occurred_at < %(end)s {where}
"""
# Newest first: at most a page of each run. The comparison of pairs is the position in the index to start from, the
# one before it lets PostgreSQL skip partitions.
_PAGE = """
    SELECT {columns}
    FROM unnest(
        %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(below)s::bigint[], %(skips)s::bigint[]
    ) AS run(starts, ends, below, skip)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_requestlog log
        WHERE user_id = %(user)s AND occurred_at >= run.starts AND occurred_at <= run.ends
            AND (occurred_at, id) < (run.ends, run.below) {where}
        ORDER BY occurred_at DESC, id DESC OFFSET run.skip LIMIT %(limit)s
    ) found
    LEFT JOIN accounts_apikey key ON key.id = found.api_key_id
    ORDER BY found.occurred_at DESC, found.id DESC LIMIT %(limit)s
"""
_ALL_COLUMNS = "found.*, key.prefix AS api_key_prefix"
_BY_ENDPOINT = " AND endpoint = %(endpoint)s"
# Another customer's key finds nothing, and an unknown one is detected before the log is read.
_KEY = "(SELECT k.id FROM accounts_apikey k WHERE k.user_id = %(user)s AND k.prefix = %(api_key)s)"
_BY_KEY = f" AND {_KEY} IS NOT NULL AND log.api_key_id = {_KEY}"
_BY_OUTCOME = {
    Outcome.SUCCESSFUL: " AND status < 400",
    Outcome.FAILED: f" AND {HAS_FAILED}",
    Outcome.REJECTED: f" AND {IS_REJECTED}",
}


class _Run(NamedTuple):
    """A range of the log, read from its end: positions before (`end`, `below`), without the newest `skip`."""

    start: dt.datetime
    end: dt.datetime
    below: int = 0
    skip: int = 0


class _Day(NamedTuple):
    """A day with `n` matching requests."""

    day: dt.date
    n: int


@dataclass(frozen=True)
class RequestPages:
    """A customer's requests that occurred in `[start, end)`, newest first, narrowed by filters.

    The daily sums give the number of requests of an endpoint and outcome for each day. So the total comes from them,
    an offset skips whole days unread, and a page reads only days with matching requests. `api_key` is the prefix of a
    key; there are no sums by key, so the log itself is read for it.
    """

    user_id: int
    now: dt.datetime
    endpoint: str | None = None
    outcome: str | None = None
    api_key: str | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def count(self) -> int | None:
        """Count the requests exactly; return None by key if more than COUNTABLE requests would have to be read."""
        if self.api_key is None:
            return self._in_all
        if self._in_all > COUNTABLE:
            return None
        ((count,),) = _statement(_COUNT.format(where=self._where)).read(self._asked)
        return int(count)

    def page(self, *, limit: int, offset: int) -> list[Any]:
        """Return `limit` requests after the `offset` newest; by key, the cost grows with the offset."""
        if self.api_key is not None:
            return self._read([_Run(self._start, self._end, skip=offset)], limit) if self._days else []
        skip = offset
        for place, day in enumerate(self._days):
            if skip < day.n:
                first, *others = self._runs(self._days[place:], wanted=skip + limit)
                return self._read([first._replace(skip=skip), *others], limit)
            skip -= day.n
        return []

    def after(self, position: list[Any], *, limit: int) -> list[Any]:
        """Return `limit` requests older than the one at a position; the cost does not grow with depth.

        :raises BrokenCursor: if this is not a position in a request log
        """
        at, below = _read_position(position)
        if self.api_key is not None:
            return self._read(_before([_Run(self._start, self._end)], at, below), limit)
        # The number of requests of its own day after the position is unknown: they are read in addition.
        own = [_Day(day, 0) for day, _ in self._days if day == at.date()]
        earlier = [each for each in self._days if each.day < at.date()]
        return self._read(_before(self._runs([*own, *earlier], wanted=limit), at, below), limit)

    def position_of(self, log: Any) -> list[Any]:
        return [log.occurred_at.isoformat(), log.pk]

    @cached_property
    def _days(self) -> list[_Day]:
        """Days with matching requests, newest first, as of the first read; by key, days with any requests."""
        first_day, day_after, slices = cover(self._start, self._end, self.now)
        parameters = {**self._asked, "first_day": first_day, "day_after": day_after}
        for i, part in enumerate(slices):
            parameters |= {f"day_{i}": part.start.date(), f"sign_{i}": part.sign}
            parameters |= {f"start_{i}": part.start, f"end_{i}": part.end}
        narrowed = self.api_key is None
        where = self._where if narrowed else ""
        query = _DAYS.format(
            summed=self.outcome if narrowed and self.outcome else "successful + failed + rejected",
            by_endpoint=_BY_ENDPOINT if narrowed and self.endpoint is not None else "",
            slices="".join(_SLICE.format(i=i, where=where) for i in range(len(slices))),
            where=where,
        )
        return [_Day(*row) for row in _statement(query).read(parameters)]

    @property
    def _in_all(self) -> int:
        return sum(n for _, n in self._days)

    @property
    def _start(self) -> dt.datetime:
        return self.start or _FIRST

    @property
    def _end(self) -> dt.datetime:
        return self.end or _END

    @property
    def _asked(self) -> dict[str, Any]:
        return {
            "user": self.user_id,
            "endpoint": self.endpoint,
            "api_key": self.api_key,
            "start": self._start,
            "end": self._end,
        }

    @property
    def _where(self) -> str:
        return (
            (_BY_ENDPOINT if self.endpoint is not None else "")
            + (_BY_OUTCOME[Outcome(self.outcome)] if self.outcome is not None else "")
            + (_BY_KEY if self.api_key is not None else "")
        )

    def _runs(self, days: list[_Day], *, wanted: int) -> list[_Run]:
        """Return the ranges of the log for as many of these days as have `wanted` requests; neighbours are joined.

        Days between them have no matching requests; without filters they are empty, and stay in the range.
        """
        takes_all = self.endpoint is None and self.outcome is None
        runs: list[_Run] = []
        found = 0
        for day, n in days:
            start = dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
            run = _Run(max(start, self._start), min(start + DAY, self._end))
            if runs and (takes_all or runs[-1].start == run.end):
                runs[-1] = runs[-1]._replace(start=run.start)
            else:
                runs.append(run)
            found += n
            if found >= wanted:
                break
        return runs

    def _read(self, runs: list[_Run], limit: int) -> list[Any]:
        if not runs:
            return []
        starts, ends, below, skips = map(plain_array, zip(*runs, strict=True))
        asked = {**self._asked, "starts": starts, "ends": ends, "below": below, "skips": skips, "limit": limit}
        return self._rows(asked)

    def _rows(self, asked: dict[str, Any]) -> list[Any]:
        return list(RequestLog.objects.raw(page_query(_ALL_COLUMNS, where=self._where), asked))


def page_query(columns: str, *, where: str) -> str:
    """Return the query of a page that selects these columns under this condition."""
    return _PAGE.format(columns=columns, where=where)


@lru_cache(maxsize=256)
def _statement(text: str) -> Statement:
    return Statement.named(text)


def _before(runs: list[_Run], at: dt.datetime, below: int) -> list[_Run]:
    """Return the part of a run that is older than a position."""
    return [run if run.end <= at else run._replace(end=at, below=below) for run in runs if run.start <= at]


def _read_position(position: list[Any]) -> tuple[dt.datetime, int]:
    try:
        text, below = position
        at = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise BrokenCursor from None
    if at.utcoffset() is None or not isinstance(below, int):
        raise BrokenCursor
    return at.astimezone(dt.UTC), below
