"""A customer's ledger by UTC days: what it was at midnight, and what moved it, exact however many entries a day has.

Every entry has the balance after it, and places have no gaps. So the net usage of a day is the difference of two
balances less the few entries that are not usage, and the entries of usage themselves are not read.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection

from ledger.models import EntryReason

MOST_LISTED = 100
"""Entries of one reason on one day that are told one by one; of more, their sum and number."""

# Reasons of entries that lower usage: it is told net of them.
_GIVEN_BACK = (EntryReason.REFUND, EntryReason.REVERSAL)


@dataclass(frozen=True)
class OtherEntry:
    """An entry that is not usage, or the sum of `entries` of one reason."""

    reason: EntryReason
    amount: Decimal
    entries: int = 1
    id: int | None = None  # the rest is of a single entry
    at: dt.datetime | None = None
    description: str = ""
    reference: str | None = None


@dataclass
class LedgerDay:
    """One UTC day: `opening` + `usage` + the others' amounts = `closing`. `usage` is signed and net of refunds."""

    day: dt.date
    first_seq: int
    last_seq: int  # less than `first_seq` if the day has no entry
    opening: Decimal
    closing: Decimal
    others: list[OtherEntry] = field(default_factory=list)
    given_back: int = 0  # entries that refund or reverse usage

    @property
    def usage(self) -> Decimal:
        return self.closing - self.opening - sum((other.amount for other in self.others), Decimal(0))

    @property
    def usage_entries(self) -> int:
        """The number of entries that charged usage."""
        others = sum(other.entries for other in self.others)
        return self.last_seq - self.first_seq + 1 - others - self.given_back


# The places at each midnight, by bisection of the gapless places (docs/decisions/0007), and the balances there.
_DAYS = """
    WITH bounds AS MATERIALIZED (
        SELECT midnight, ledger_first_seq_at(%(user)s::bigint, midnight) AS seq
        FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz, interval '1 day') midnight
    ), days AS (
        SELECT midnight, seq AS first_seq, lead(seq) OVER (ORDER BY midnight) - 1 AS last_seq FROM bounds
    )
    SELECT (midnight AT TIME ZONE 'UTC')::date, first_seq, last_seq,
        coalesce((SELECT balance_after FROM ledger_entry WHERE user_id = %(user)s AND seq = first_seq - 1), 0),
        coalesce((SELECT balance_after FROM ledger_entry WHERE user_id = %(user)s AND seq = last_seq), 0)
    FROM days WHERE last_seq IS NOT NULL ORDER BY midnight
"""
# Entries that are not debits have an index of their own, and debits that are not usage an operation of their own.
_OTHERS = """
    WITH others AS (
        SELECT id, seq, reason, amount, created_at, description, reference FROM ledger_entry
        WHERE user_id = %(user)s AND type <> 'debit' AND seq BETWEEN %(first)s AND %(last)s
        UNION ALL
        SELECT id, seq, reason, amount, created_at, description, reference FROM ledger_entry
        WHERE user_id = %(user)s AND operation = 'expire_grant' AND seq BETWEEN %(first)s AND %(last)s
    ), counted AS (
        SELECT *, (created_at AT TIME ZONE 'UTC')::date AS day,
            reason = ANY(%(given_back)s)
            OR count(*) OVER (PARTITION BY (created_at AT TIME ZONE 'UTC')::date, reason) > %(most)s AS are_many
        FROM others
    )
    SELECT day, reason, sum(amount), count(*), min(id), min(created_at), min(description), min(reference)
    FROM counted GROUP BY day, reason, are_many, CASE WHEN NOT are_many THEN id END ORDER BY day, min(seq)
"""


def ledger_days(*, user_id: int, start: dt.datetime, end: dt.datetime) -> list[LedgerDay]:
    """Return the days of `[start, end)`, both at midnight UTC, those without entries too.

    To be called on one snapshot, after what was due is settled: an expiry is entered at its own time.
    """
    given_back = [reason.value for reason in _GIVEN_BACK]
    asked = {"user": user_id, "start": start, "end": end, "most": MOST_LISTED, "given_back": given_back}
    days = [LedgerDay(*row) for row in _rows(_DAYS, asked)]
    by_day = {day.day: day for day in days}
    asked |= {"first": days[0].first_seq, "last": days[-1].last_seq}
    for day, reason, amount, entries, *single in _rows(_OTHERS, asked):
        if reason in _GIVEN_BACK:
            by_day[day].given_back += entries
        else:
            other = OtherEntry(EntryReason(reason), amount, entries, *(single if entries == 1 else ()))
            by_day[day].others.append(other)
    return days


def _rows(query: str, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, asked)
        return list(cursor.fetchall())
