"""Reads of what customers have, and of how it came to be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from config.db.counting import counted
from config.db.prepared import read_prepared, read_with_names
from ledger.errors import HoldNotFound
from ledger.models import Balance, Entry, EntryType, Grant, Hold, Payment
from ledger.models.entry import EntryQuerySet
from ledger.models.grant import GrantQuerySet
from ledger.models.hold import HoldQuerySet

ZERO = Decimal(0)


@dataclass(frozen=True)
class CreditBalance:
    """One customer's credits at one time; `available` is `balance` less `reserved`."""

    user_id: int
    balance: Decimal
    reserved: Decimal
    granted_total: Decimal
    last_updated: dt.datetime
    currency: str
    auto_reload_enabled: bool = False
    auto_reload_threshold: Decimal | None = None  # both are empty while it is off
    auto_reload_amount: Decimal | None = None  # also while it buys up to a target

    @property
    def available(self) -> Decimal:
        return self.balance - self.reserved


BALANCE_COLUMNS = tuple(field.name for field in fields(CreditBalance) if field.name not in {"user_id", "currency"})

# Expired holds and grants do not count from their expiry on, and a period's credits count from its start, whether or
# not they are settled. Only customers with such rows pay for this, and only those rows are read. The time is read once:
# read anew for each row, it would make PostgreSQL read every open hold.
BALANCE_QUERY = """
    SELECT coalesce(b.balance, 0) - coalesce((lapsed.lapse).credits, 0) AS balance,
        coalesce(b.reserved, 0) - coalesce(gone.credits, 0) AS reserved,
        coalesce(b.granted_total, 0) - coalesce((lapsed.lapse).credits, 0) AS granted_total,
        greatest(b.updated_at, gone.latest, (lapsed.lapse).expired_at,
            CASE WHEN b.user_id IS NULL THEN u.created_at END) AS last_updated,
        coalesce(reload.enabled, false) AS auto_reload_enabled, reload.threshold AS auto_reload_threshold,
        reload.amount AS auto_reload_amount
    FROM (SELECT clock_timestamp() AS at OFFSET 0) moment
    CROSS JOIN accounts_user u
    LEFT JOIN ledger_balance b ON b.user_id = u.id
    LEFT JOIN ledger_autoreload reload ON reload.user_id = u.id AND reload.enabled
    LEFT JOIN LATERAL (
        SELECT sum(h.credits - h.captured) AS credits, max(h.expires_at) AS latest FROM ledger_hold h
        WHERE b.next_expiry_at <= moment.at
            AND h.user_id = b.user_id AND h.status = 'open' AND h.expires_at <= moment.at
    ) gone ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN b.next_expiry_at <= moment.at
            THEN ledger_expired_credits(b.user_id, moment.at) END AS lapse OFFSET 0
    ) lapsed
    WHERE u.id = %s
"""


def balance_of(*, user_id: int) -> CreditBalance:
    """Return a customer's credits now, in one statement; zeros before the first entry."""
    return credit_balance(user_id, read_with_names(BALANCE_QUERY, [user_id]).only())


def credit_balance(user_id: int, row: Mapping[str, Any]) -> CreditBalance:
    """Read a row of BALANCE_QUERY by its columns' names; other columns may be present."""
    columns = {name: row[name] for name in BALANCE_COLUMNS}
    return CreditBalance(user_id=user_id, currency=settings.CREDIT_UNIT, **columns)


@dataclass(frozen=True)
class SpendingTerms:
    """The terms on which a customer may spend: not at all since `frozen_at`, and down to -`overdraft_limit` credits.

    `owed` credits are taken from incoming credits: their money was taken back after they had been spent.
    """

    frozen_at: dt.datetime | None = None
    overdraft_limit: Decimal = ZERO
    owed: Decimal = ZERO


def terms_of(*, user_id: int) -> SpendingTerms:
    """Return the terms of a customer's balance, in one statement."""
    found = Balance.objects.filter(pk=user_id).values_list("frozen_at", "overdraft_limit", owed_credits()).first()
    return SpendingTerms() if found is None else SpendingTerms(*found)


def owed_credits() -> Coalesce:
    """Return what a customer owes, for a query whose primary key is the customer's id."""
    owing = Payment.objects.filter(user_id=OuterRef("pk"), credits_owed__gt=0).order_by().values("user_id")
    return Coalesce(Subquery(owing.values(owed=Sum("credits_owed"))), ZERO)


def credits_owed_by(*, user_id: int) -> Decimal:
    """Return the credits that a customer owes: their money was taken back, but they had been spent before."""
    return terms_of(user_id=user_id).owed


@dataclass(frozen=True)
class LedgerPages:
    """A customer's entries, newest first, filtered; counts and pages without scanning.

    `seq` has no gaps, so the unfiltered total is the last seq, a page is a range of seq at any depth, and a range of
    times is a range of seq too (docs/decisions/0007).
    """

    user_id: int
    first_seq: int
    last_seq: int
    type: str | None = None
    reference: str | None = None
    is_behind: bool = False  # credits have expired or been granted since, and their entries are still to be made

    def count(self) -> int | None:
        """Count the entries: exact, whatever their number, unless a reference or a type is asked for.

        Entries of a reference are counted one by one, and so are entries other than debits, up to MOST_COUNTED.
        """
        everything = max(self.last_seq - self.first_seq + 1, 0)
        if self.reference is None and self.type is None:
            return everything
        if self.reference is None and self.type == EntryType.DEBIT:
            others = self.count_other_than_debits()
            return None if others is None else everything - others
        return self.count_matching()

    def count_matching(self) -> int | None:
        """Count the entries one by one; return None beyond MOST_COUNTED."""
        return counted(self._entries())

    def count_other_than_debits(self) -> int | None:
        """Count the entries other than debits one by one; return None beyond MOST_COUNTED."""
        return counted(self._in_range().exclude(type=EntryType.DEBIT))

    def page(self, *, limit: int, offset: int) -> list[Any]:
        """Return `limit` entries after the `offset` newest."""
        if self.type is None and self.reference is None:
            return self.newest(self.last_seq - offset, limit=limit)
        return self.newest(self.last_seq, limit=limit, offset=offset)

    def after(self, position: list[int], *, limit: int) -> list[Any]:
        """Return `limit` entries older than the one at a position; the cost does not grow with depth."""
        (seq,) = position
        return self.newest(min(seq - 1, self.last_seq), limit=limit)

    def newest(self, last_seq: int, *, limit: int, offset: int = 0) -> list[Any]:
        """Return `limit` of the entries up to `last_seq`, newest first, after the first `offset`."""
        entries = self._entries().filter(seq__lte=last_seq).newest_first()
        return list(entries[offset : offset + limit])

    def position_of(self, entry: Any) -> list[int]:
        return [entry.seq]

    def every(self, *, chunk: int = 1000) -> Iterator[Entry]:
        """Yield all of them, fetched in chunks, so that any number streams in little memory."""
        position = [self.last_seq + 1]
        while entries := self.after(position, limit=chunk):
            yield from entries
            position = self.position_of(entries[-1])

    def _in_range(self) -> EntryQuerySet:
        return Entry.objects.of(self.user_id).filter(seq__gte=self.first_seq, seq__lte=self.last_seq)

    def _entries(self) -> EntryQuerySet:
        entries = self._in_range()
        if self.type is not None:
            entries = entries.filter(type=self.type)
        if self.reference is not None:
            entries = entries.filter(reference=self.reference)
        return entries


_RANGE = """
    SELECT CASE WHEN %s::timestamptz IS NULL THEN 1 ELSE ledger_first_seq_at(%s::bigint, %s::timestamptz) END,
        CASE WHEN %s::timestamptz IS NULL
            THEN coalesce((SELECT seq FROM ledger_balance WHERE user_id = %s::bigint), 0)
            ELSE ledger_first_seq_at(%s::bigint, %s::timestamptz) - 1 END,
        EXISTS (
            SELECT FROM ledger_balance b JOIN ledger_grant g USING (user_id)
            WHERE user_id = %s::bigint AND b.next_expiry_at <= clock_timestamp()
                AND g.expires_at <= clock_timestamp() AND g.remaining > 0)
        OR EXISTS (
            SELECT FROM ledger_balance b WHERE user_id = %s::bigint AND b.next_expiry_at <= clock_timestamp()
                AND ledger_subscription_due_at(user_id) <= clock_timestamp())
"""


def ledger_of(
    *,
    user_id: int,
    type: str | None = None,
    reference: str | None = None,
    start: dt.datetime | None = None,
    end: dt.datetime | None = None,
) -> LedgerPages:
    """Return a customer's entries made in `[start, end)`, as of now: later entries do not shift pages."""
    ((first_seq, last_seq, is_behind),) = read_prepared(
        _RANGE, [start, user_id, start, end, user_id, user_id, end, user_id, user_id]
    )
    return LedgerPages(user_id, first_seq, last_seq, type, reference, is_behind)


def holds_of(*, user_id: int, now: dt.datetime, status: str | None = None) -> HoldQuerySet:
    """Return a customer's holds, newest first, each with its `status_now` and `settled_at_now`."""
    holds = Hold.objects.of(user_id)
    if status is not None:
        holds = holds.with_status(status, now)
    return holds.as_of(now).defer("fingerprint").newest_first()


def grants_of(*, user_id: int, now: dt.datetime) -> GrantQuerySet:
    """Return a customer's grants as last settled, newest first, each with its `status_now`."""
    return Grant.objects.of(user_id).as_of(now).newest_first()


def our_metadata(entry: Entry, name: str) -> Any:
    """Return what we stored with an entry, such as `charge_id`, beside the caller's metadata of any name."""
    return entry.metadata.get(f"tollbook_{name}", entry.metadata.get(name))


def left_to_reverse(entry: Entry) -> Decimal:
    """Return how much of an entry is left to reverse, in credits without sign: as `ledger_left_to_reverse` decides."""
    reversed_credits: Decimal = Entry.objects.filter(reverses=entry.pk).aggregate(sum=Sum("amount"))["sum"] or Decimal(
        0
    )
    expired: Decimal = Grant.objects.filter(entry=entry.pk).values_list("expired", flat=True).first() or Decimal(0)
    return max(abs(entry.amount) - abs(reversed_credits) - expired, Decimal(0))


def hold_with_id(hold_id: int) -> Hold:
    """Return a hold of any customer.

    :raises HoldNotFound: if there is none
    """
    hold = Hold.objects.filter(pk=hold_id).defer("metadata", "purpose", "fingerprint").first()
    if hold is None:
        raise HoldNotFound
    return hold
