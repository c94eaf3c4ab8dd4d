"""The Account API's lists of credits: rows of the selectors, printed with the fields that the serializers declare."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import DateTimeField

from config.db.counting import MOST_COUNTED, exact_count
from config.db.statements import Place, Statement
from config.http.page_sources import PageSource, PreparedPages
from config.http.rows import PrintedRows
from ledger.models import Entry, EntryType
from ledger.models.entry import EntryQuerySet
from ledger.selectors import LedgerPages, grants_of, holds_of
from ledger.serializers.account import AccountHoldSerializer, EntrySerializer, GrantSerializer

ENTRIES = PrintedRows(EntrySerializer)
HOLDS = PrintedRows(AccountHoldSerializer)
GRANTS = PrintedRows(GrantSerializer)
# Placeholders for a number and a time, wherever a queryset accepts them.
_USER: Any = Place("user_id")
_NOW: Any = Place("now", DateTimeField())


@dataclass(frozen=True)
class LedgerRows(LedgerPages):
    """The same pages as rows for ENTRIES, with the seq at the end of each."""

    def newest(self, last_seq: int, *, limit: int, offset: int = 0) -> list[Any]:
        page = _page(self.type, has_reference=self.reference is not None)
        asked = {**self._asked(last_seq), "limit": limit, "offset": offset}
        # Without statistics, a plan for any reference would scan the customer's whole ledger.
        return page.read(asked) if self.reference is None else page.read_planned(asked)

    def count_matching(self) -> int | None:
        return self._counted(_count(self.type, has_reference=self.reference is not None))

    def count_other_than_debits(self) -> int | None:
        # One plan for all expects a handful of entries in any range of seq, and would filter a whole ledger for them.
        ((count,),) = _count_of_others().read_planned(self._asked(self.last_seq))
        return exact_count(count)

    def _counted(self, statement: Statement) -> int | None:
        asked = self._asked(self.last_seq)
        ((count,),) = statement.read(asked) if self.reference is None else statement.read_planned(asked)
        return exact_count(count)

    def _asked(self, last_seq: int) -> dict[str, Any]:
        return {
            "user_id": self.user_id,
            "first_seq": self.first_seq,
            "last_seq": last_seq,
            "reference": self.reference,
        }

    def position_of(self, row: Any) -> list[int]:
        return [row[-1]]


def printed_holds_of(*, user_id: int, now: dt.datetime, status: str | None) -> PageSource:
    """Return `holds_of` as rows for HOLDS."""
    return _holds(status).of(user_id=user_id, now=now)


def printed_grants_of(*, user_id: int, now: dt.datetime) -> PageSource:
    """Return `grants_of` as rows for GRANTS."""
    return _grants().of(user_id=user_id, now=now)


@lru_cache(maxsize=16)
def _page(type: str | None, *, has_reference: bool) -> Statement:
    entries = _wanted(type, has_reference=has_reference)
    return Statement.of(entries.newest_first().values_list(*ENTRIES.as_texts(), "seq")).cut()


@lru_cache(maxsize=16)
def _count(type: str | None, *, has_reference: bool) -> Statement:
    return Statement.of(_wanted(type, has_reference=has_reference).values_list("pk")).counted(most=MOST_COUNTED)


@lru_cache(maxsize=1)
def _count_of_others() -> Statement:
    return Statement.of(_in_range().exclude(type=EntryType.DEBIT).values_list("pk")).counted(most=MOST_COUNTED)


def _wanted(type: str | None, *, has_reference: bool) -> EntryQuerySet:
    entries = _in_range()
    if type is not None:
        entries = entries.filter(type=type)
    if has_reference:
        entries = entries.filter(reference=Place("reference"))
    return entries


def _in_range() -> EntryQuerySet:
    return Entry.objects.of(_USER).filter(seq__gte=Place("first_seq"), seq__lte=Place("last_seq"))


@lru_cache(maxsize=16)
def _holds(status: str | None) -> PreparedPages:
    return PreparedPages(holds_of(user_id=_USER, now=_NOW, status=status), HOLDS)


@lru_cache(maxsize=1)
def _grants() -> PreparedPages:
    return PreparedPages(grants_of(user_id=_USER, now=_NOW), GRANTS)
