"""Retention: create months of the request log ahead of time, and drop them when they have been kept long enough."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import OperationalError

from config.db.owner import as_owner
from config.db.prepared import sqlstate
from usage.selectors import log_months, requests_of_month
from usage.services.partitions import ensure_partition

TRIES = 5
_BUSY = {"55P03", "40P01"}  # the lock was not free in time; a deadlock was broken


@dataclass(frozen=True)
class Maintained:
    """What was done, or would be: the first days of months; dropped ones with the number of their requests."""

    made: list[dt.date] = field(default_factory=list)
    dropped: dict[dt.date, int] = field(default_factory=dict)
    kept: list[dt.date] = field(default_factory=list)  # old, but some of their requests were reported lately


def make_months_ahead(*, now: dt.datetime, ahead: int, dry_run: bool = False) -> list[dt.date]:
    """Create the partitions of this month and the next `ahead` ones, and return those that were missing.

    Charges create a missing one themselves; this spares the first charge of a month the delay.
    """
    there = set(log_months())
    missing = [month for month in _months_from(now, ahead + 1) if month not in there]
    for month in missing if not dry_run else ():
        ensure_partition(_midnight(month))
    return missing


def drop_old_months(*, now: dt.datetime, keep_months: int, dry_run: bool = False) -> Maintained:
    """Drop the log of each month all of whose requests were recorded more than `keep_months` months ago.

    Their daily sums, and the keys that identify reported requests, stay. Each month is a transaction
    of its own; repetition finds nothing more.

    :raises django.db.OperationalError: if the log was in use at every try
    """
    before = months_earlier(now, keep_months)
    outcome = Maintained()
    for month in log_months():
        if _midnight(months_earlier(month, -1)) > before:
            continue
        if dry_run:
            requests, last_recorded_at = requests_of_month(month)
            dropped = last_recorded_at is None or last_recorded_at < before
        else:
            dropped, requests = _drop_month(month, before)
        if dropped:
            outcome.dropped[month] = requests
        else:
            outcome.kept.append(month)
    return outcome


def months_earlier(at: dt.datetime | dt.date, months: int) -> dt.datetime:
    """Return the time this many calendar months earlier; the day is at most the last one of the month."""
    moment = at if isinstance(at, dt.datetime) else _midnight(at)
    month = moment.year * 12 + moment.month - 1 - months
    first = moment.replace(year=month // 12, month=month % 12 + 1, day=1)
    last_day = ((first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)).day
    return first.replace(day=min(moment.day, last_day))


def _drop_month(month: dt.date, before: dt.datetime) -> tuple[bool, int]:
    for attempt in range(1, TRIES + 1):
        try:
            with as_owner() as cursor:
                cursor.execute("SELECT outcome, requests FROM usage_drop_month(%s, %s)", [month, before])
                outcome, requests = cursor.fetchone()
        except OperationalError as error:
            if attempt == TRIES or sqlstate(error) not in _BUSY:
                raise
        else:
            return outcome == "dropped", requests or 0
        time.sleep(random.uniform(0.5, 1.5) * attempt)  # noqa: S311  jitter: a reader of the log may end meanwhile
    raise AssertionError("unreachable")


def _months_from(now: dt.datetime, count: int) -> Iterator[dt.date]:
    first = now.astimezone(dt.UTC).replace(day=1).date()
    for ahead in range(count):
        yield months_earlier(first, -ahead).date()


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
