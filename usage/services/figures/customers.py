"""Figures of each customer: what their credits are made of, and what they use."""

from __future__ import annotations

import datetime as dt
import time

from django.db import connection

from config.rounds import Round
from ledger.services.grants import settle_grants
from usage.services.figures.windows import KEPT

A_BATCH = 100
MOST_SECONDS = 30.0
"""So long a run counts credits; the next one goes on, beginning with those counted longest ago."""

_USE = """
    INSERT INTO usage_customerfigures AS f (user_id, month, spent, last_used_on, folded_at)
    SELECT user_id, %(month)s, coalesce(sum(credits) FILTER (WHERE day >= %(month)s), 0), max(day), %(now)s
    FROM usage_dailyusage WHERE day BETWEEN %(first)s AND %(last)s GROUP BY user_id
    ON CONFLICT (user_id) DO UPDATE SET
        month = excluded.month, spent = excluded.spent, last_used_on = greatest(f.last_used_on, excluded.last_used_on)
    WHERE (f.month, f.spent) IS DISTINCT FROM (excluded.month, excluded.spent)
        OR f.last_used_on IS DISTINCT FROM greatest(f.last_used_on, excluded.last_used_on)
"""
# What moved since, and what has expired since: that needs no entry.
_BEHIND = """
    FROM ledger_balance b LEFT JOIN usage_customerfigures f USING (user_id)
    WHERE f.seq IS DISTINCT FROM b.seq OR b.next_expiry_at <= %(now)s AND f.folded_at < %(now)s
"""
_COUNT = """
    INSERT INTO usage_customerfigures AS f (user_id, seq, paid, promotional, lost, folded_at)
    SELECT user_id, seq, paid, promotional, lost, %(now)s FROM ledger_credits_by_category(%(users)s, %(now)s)
    ON CONFLICT (user_id) DO UPDATE SET
        seq = excluded.seq, paid = excluded.paid, promotional = excluded.promotional, lost = excluded.lost,
        folded_at = excluded.folded_at
    RETURNING user_id
"""


def fold_use(*, first: dt.date, last: dt.date, month: dt.date, now: dt.datetime) -> None:
    """Note of each customer what they spent this month and when they made their last request.

    The first run ever looks further back, so that customers who are silent for long are known.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM usage_customerfigures WHERE last_used_on IS NOT NULL)")
        (has_run,) = cursor.fetchone()
        since = first if has_run else last - KEPT
        cursor.execute(_USE, {"first": since, "last": last, "month": month, "now": now})


def fold_credits(*, now: dt.datetime, customers: Round) -> int:
    """Count the credits of customers whose credits have moved since, for MOST_SECONDS; return how many were counted.

    A batch that fails is counted one by one, so that one customer keeps no other waiting.
    """
    counted, until = 0, time.monotonic() + MOST_SECONDS
    users = _behind(now)
    while users and time.monotonic() < until:
        batch, users = users[:A_BATCH], users[A_BATCH:]
        done: set[int] = set()
        with Round(say=lambda _: None).turn("batch"):
            done = _count(batch, now)
        for user_id in batch:
            if user_id not in done:
                with customers.turn(user_id):
                    settle_grants(user_id=user_id)  # a history that is too long to be settled at once
                    done |= _count([user_id], now)
        counted += len(done)
    return counted


def customers_behind(*, now: dt.datetime) -> int:
    """Return how many customers' credits have moved since they were counted."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_BEHIND}", {"now": now})
        return int(cursor.fetchone()[0])


def _behind(now: dt.datetime) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT b.user_id {_BEHIND} ORDER BY f.folded_at NULLS FIRST, b.user_id", {"now": now})
        return [user_id for (user_id,) in cursor.fetchall()]


def _count(users: list[int], now: dt.datetime) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"users": users, "now": now})
        return {user_id for (user_id,) in cursor.fetchall()}
