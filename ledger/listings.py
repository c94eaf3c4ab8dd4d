"""The Account API's lists of credits, printed from rows: what their serializers declare, of what the selectors find."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import DateTimeField

from config.db.statements import Place, Statement
from config.http.page_sources import PageSource, PreparedPages
from config.http.rows import PrintedRows
from ledger.models import Entry
from ledger.selectors import LedgerPages, grants_of, holds_of
from ledger.serializers import AccountHoldSerializer, EntrySerializer, GrantSerializer

ENTRIES = PrintedRows(EntrySerializer)
HOLDS = PrintedRows(AccountHoldSerializer)
GRANTS = PrintedRows(GrantSerializer)
# They stand for a number and an instant, wherever a queryset takes these.
_USER: Any = Place("user_id")
_NOW: Any = Place("now", DateTimeField())


@dataclass(frozen=True)
class LedgerRows(LedgerPages):
    """The same pages as rows for ENTRIES, each with its seq behind."""

    def newest(self, last_seq: int, *, limit: int, offset: int = 0) -> list[Any]:
        asked = {
            "user_id": self.user_id,
            "first_seq": self.first_seq,
            "last_seq": last_seq,
            "reference": self.reference,
            "limit": limit,
            "offset": offset,
        }
        if self.reference is None:
            return _entries(self.type).read(asked)
        # Without statistics, a plan for any reference goes through the customer's whole ledger.
        return _entries(self.type, has_reference=True).read_planned(asked)

    def position_of(self, row: Any) -> list[int]:
        return [row[-1]]


def printed_holds_of(*, user_id: int, now: dt.datetime, status: str | None) -> PageSource:
    """Give `holds_of` as rows for HOLDS."""
    return _holds(status).of(user_id=user_id, now=now)


def printed_grants_of(*, user_id: int, now: dt.datetime) -> PageSource:
    """Give `grants_of` as rows for GRANTS."""
    return _grants().of(user_id=user_id, now=now)


@lru_cache(maxsize=16)
def _entries(type: str | None, *, has_reference: bool = False) -> Statement:
    entries = Entry.objects.of(_USER).filter(seq__gte=Place("first_seq"), seq__lte=Place("last_seq"))
    if type is not None:
        entries = entries.filter(type=type)
    if has_reference:
        entries = entries.filter(reference=Place("reference"))
    return Statement.of(entries.newest_first().values_list(*ENTRIES.as_texts(), "seq")).cut()


@lru_cache(maxsize=16)
def _holds(status: str | None) -> PreparedPages:
    return PreparedPages(holds_of(user_id=_USER, now=_NOW, status=status), HOLDS)


@lru_cache(maxsize=1)
def _grants() -> PreparedPages:
    return PreparedPages(grants_of(user_id=_USER, now=_NOW), GRANTS)
