"""A customer's statement of a month (UTC): opening balance, what moved it by day, closing balance, grants that remain.

Exact: opening + all lines = closing, and both are the ledger's own balances. What was used is told by endpoint from the
daily sums, which count a request on the day on which it was made; the ledger counts it when it was recorded. Where the
two differ, a line says by how much, so that each day adds up to its entries.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from django.conf import settings

from accounts.models import User
from config.db.snapshot import snapshot
from ledger.models import EntryReason
from ledger.services.grants import settle_grants
from ledger.services.statements.days import LedgerDay, ledger_days
from ledger.services.statements.grants_left import GrantLeft, grants_left
from usage.errors import NoStatement
from usage.models import DailyUsage

MOST_ENDPOINTS = 20
"""Endpoints of one day that have a line of their own, the dearest first; the others have one together."""
MOST_GRANTS = 200
"""Grants that are listed; of more, those that expire soonest."""
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Line:
    """One line of a day: signed credits, and what they were for."""

    kind: str  # an entry's reason; `usage` of an endpoint, `other_usage`, `timing`
    text: str
    amount: Decimal
    count: int | None = None  # requests of a line of usage, entries of a sum
    at: dt.datetime | None = None
    reference: str | None = None
    entry_id: int | None = None


@dataclass(frozen=True)
class Day:
    """One UTC day on which the balance moved."""

    day: dt.date
    lines: tuple[Line, ...]
    closing: Decimal


@dataclass(frozen=True)
class Statement:
    """All that a statement says, in the order in which it says it."""

    user_id: int
    email: str
    full_name: str
    company: str
    unit: str
    month: dt.date
    start: dt.datetime
    end: dt.datetime
    produced_at: dt.datetime
    opening: Decimal
    closing: Decimal
    received: Decimal  # purchases, grants and other gains
    used: Decimal  # net of refunds; at most 0 as a rule
    taken: Decimal  # expiries, chargebacks and other losses
    days: tuple[Day, ...]
    grants: tuple[GrantLeft, ...] = field(default=())

    @property
    def is_running(self) -> bool:
        """Whether the month is not over, so that the statement is one so far."""
        return self.produced_at < self.end


def statement_of(*, user_id: int, month: dt.date, now: dt.datetime) -> Statement:
    """Return a customer's statement of the month that contains the day `month`.

    What is due is settled first, since credits that have expired are entered at the time of their expiry. Then all is
    read on one snapshot, in a fixed number of statements; the work depends on days, endpoints and entries that are not
    usage, and not on the number of requests.

    :raises NoStatement: if the month lies before the account or in the future
    """
    customer = User.objects.get(pk=user_id)
    start = dt.datetime(month.year, month.month, 1, tzinfo=dt.UTC)
    end = (start + dt.timedelta(days=31)).replace(day=1)
    _refuse_outside(customer, start, end, now)
    settle_grants(user_id=user_id)
    with snapshot():
        ledger = ledger_days(user_id=user_id, start=start, end=end)
        used = _usage_by_day(user_id, start.date(), end.date())
        left = grants_left(user_id=user_id, seq=ledger[-1].last_seq, most=MOST_GRANTS)
    others = [other.amount for day in ledger for other in day.others]
    return Statement(
        user_id=user_id,
        email=customer.email,
        full_name=customer.full_name,
        company=settings.COMPANY_NAME,
        unit=settings.CREDIT_UNIT,
        month=start.date(),
        start=start,
        end=end,
        produced_at=now,
        opening=ledger[0].opening,
        closing=ledger[-1].closing,
        received=sum((amount for amount in others if amount > 0), _ZERO),
        used=sum((day.usage for day in ledger), _ZERO),
        taken=sum((amount for amount in others if amount < 0), _ZERO),
        days=tuple(
            Day(day.day, tuple(_lines(day, used.get(day.day, []))), day.closing)
            for day in ledger
            if day.last_seq >= day.first_seq
        ),
        grants=tuple(left),
    )


def _refuse_outside(customer: User, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> None:
    if start > now:
        raise NoStatement(f"{start:%Y-%m} has not begun yet: a statement is about a past month or the running one.")
    if end <= customer.created_at:
        raise NoStatement(f"The account was created on {customer.created_at:%Y-%m-%d}, after {start:%Y-%m}.")


def _usage_by_day(user_id: int, first: dt.date, after: dt.date) -> dict[dt.date, list[tuple[str, int, Decimal]]]:
    """Return endpoint, requests and credits of each day, the dearest first."""
    sums = DailyUsage.objects.filter(user_id=user_id, day__gte=first, day__lt=after)
    rows = sums.values_list("day", "endpoint", "successful", "failed", "credits")
    by_day: dict[dt.date, list[tuple[str, int, Decimal]]] = {}
    for day, endpoint, successful, failed, credits in rows:
        by_day.setdefault(day, []).append((endpoint, successful + failed, credits))
    for of_day in by_day.values():
        of_day.sort(key=lambda row: (-row[2], row[0]))
    return by_day


def _lines(day: LedgerDay, used: list[tuple[str, int, Decimal]]) -> Iterator[Line]:
    """Yield the lines of a day, which add up to its change of the balance."""
    for other in day.others:
        text = other.description if other.entries == 1 else f"{other.entries:,} entries: {other.reason.label}"
        yield Line(
            other.reason.value, text or other.reason.label, other.amount, None if other.entries == 1 else other.entries,
            other.at, other.reference, other.id,
        )  # fmt: skip
    charged = [row for row in used if row[2]]
    if day.usage_entries + day.given_back == 0:
        return
    for endpoint, requests, credits in charged[:MOST_ENDPOINTS]:
        yield Line(EntryReason.USAGE.value, endpoint, -credits, requests)
    rest = charged[MOST_ENDPOINTS:]
    if rest:
        credits = sum((row[2] for row in rest), _ZERO)
        yield Line("other_usage", f"{len(rest)} other endpoints", -credits, sum(row[1] for row in rest))
    difference = day.usage + sum((row[2] for row in charged), _ZERO)
    if difference:
        yield Line("timing", "Recorded on another day than it was used, and refunds of other days", difference)
