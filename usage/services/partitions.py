"""Partitions of the request log, made when a month is first needed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from django.db import IntegrityError, connection, transaction

from config.db.calls import call
from config.db.prepared import sqlstate
from ledger.services.subscriptions.periods import month_of

Answer = TypeVar("Answer")


def ensure_partition(at: dt.datetime) -> None:
    """Create the partition of the month of `at`, if it does not exist."""
    call("usage_ensure_partition", p_at=at)


def with_partition(moments: set[dt.datetime], write: Callable[[], Answer]) -> Answer:
    """Run a write to the log; if the time of one of its rows has no partition yet, create it and run the write again.

    Checking first would cost every charge a round trip for what happens once a month.
    """
    try:
        with transaction.atomic() if connection.in_atomic_block else nullcontext():
            return write()
    except IntegrityError as error:
        if not _no_partition(error):
            raise
    for month in sorted({month_of(moment) for moment in moments}):
        ensure_partition(month)
    return write()


def months_around(now: dt.datetime) -> set[dt.datetime]:
    """Return the months that it may be by the database's clock, which can differ from ours."""
    hour = dt.timedelta(hours=1)
    return {now - hour, now + hour}


def kept_months() -> list[dt.date]:
    """Return the first days of the months for which the log has partitions, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT to_date(substring(c.relname FROM '[0-9]{4}_[0-9]{2}$'), 'YYYY_MM') AS month
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'usage_requestlog'::regclass ORDER BY month"""
        )
        return [month for (month,) in cursor.fetchall()]


def _no_partition(error: IntegrityError) -> bool:
    diagnosis = getattr(error.__cause__, "diag", None)
    # PostgreSQL reports a row without a partition as a check violation that names a table but no constraint.
    return (
        sqlstate(error) == "23514"
        and diagnosis is not None
        and diagnosis.table_name == "usage_requestlog"
        and diagnosis.constraint_name is None
    )
