"""What happened to a customer, newest first, merged from the tables that tell it.

Each source reads its newest rows by an index of the customer, below the id that the page before ended at. So a page
costs the same however long the history is and however far one has turned back.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.models import User
from config.backoffice.credits import shown, shown_signed
from config.backoffice.links import list_url, page_url
from config.models import RecordKind
from config.values.credits import plain
from ledger.models import (
    AdjustmentState,
    EntryReason,
    PaymentState,
    ReloadEventKind,
    SubscriptionChangeKind,
    TermsKind,
)

EVENTS_A_PAGE = 25
BEFORE = "before"  # of the page's address
_CURSOR = re.compile(r"([a-z])([0-9]{1,18})", re.ASCII)
_LONGEST = 240  # characters of a text that staff or customers wrote
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Event:
    """One line of the timeline; `credits` are signed and None where nothing moved."""

    at: dt.datetime
    what: str
    detail: str
    url: str
    credits: Decimal | None = None
    by: str = ""
    is_whole_day: bool = False

    @property
    def shown_credits(self) -> str:
        return "" if self.credits is None else shown_signed(self.credits)


@dataclass(frozen=True)
class Row:
    """A row as its source reads it: `id` continues the source, `label` names a choice of its model."""

    id: int
    at: dt.datetime
    label: str
    detail: str
    credits: Decimal | None
    linked_id: int | None
    author: str | None


@dataclass(frozen=True)
class Source:
    """One table: who may see it, its rows below an id (newest first), and a row as an event."""

    letter: str
    permission: str
    sql: str
    event: Callable[[User, Row], Event]


@dataclass(frozen=True)
class Timeline:
    """One page of events, and where the next one begins; empty: there is none."""

    events: list[Event]
    older: str


def timeline_of(customer: User, *, viewer: Any, before: str = "") -> Timeline:
    """Return a page of a customer's timeline as far as this member of staff may see it, in one statement.

    `before` is `Timeline.older` of the page before it; anything else begins at the newest event.
    """
    sources = [source for source in SOURCES if viewer.has_perm(source.permission)]
    starts = _starts(before)
    found = _read(sources, customer, starts)
    merged = sorted(found, key=lambda pair: (pair[1].at, pair[0].letter, pair[1].id), reverse=True)
    page = list(islice(merged, EVENTS_A_PAGE))
    for source, row in page:
        starts[source.letter] = min(row.id, starts.get(source.letter, row.id))
    events = [replace(source.event(customer, row), by=row.author or "") for source, row in page]
    return Timeline(events, _cursor(starts) if len(merged) > len(page) else "")


def _read(sources: Iterable[Source], customer: User, starts: Mapping[str, int]) -> list[tuple[Source, Row]]:
    by_letter = {source.letter: source for source in sources}
    if not by_letter:
        return []
    parts = [
        f"(SELECT '{letter}' AS source, part.* FROM ({each.sql}) part ({_COLUMNS}))"
        for letter, each in by_letter.items()
    ]
    values: dict[str, Any] = {f"below_{letter}": starts.get(letter, 2**62) for letter in by_letter}
    today = timezone.now().astimezone(dt.UTC).date()
    values |= {"user": customer.pk, "rows": EVENTS_A_PAGE + 1, "tomorrow": (today + _DAY).toordinal()}
    with connection.cursor() as cursor:
        cursor.execute(_WITH_AUTHORS.format(" UNION ALL ".join(parts)), values)
        return [(by_letter[letter], Row(*row)) for letter, *row in cursor.fetchall()]


def _starts(before: str) -> dict[str, int]:
    parts = before.split(".") if before else []
    matches = [_CURSOR.fullmatch(part) for part in parts]
    if not all(matches) or len(parts) > len(SOURCES):
        return {}
    return {match[1]: int(match[2]) for match in matches if match}


def _cursor(starts: Mapping[str, int]) -> str:
    return ".".join(f"{letter}{number}" for letter, number in sorted(starts.items()))


def _entry(_: User, row: Row) -> Event:
    return Event(row.at, EntryReason(row.label).label, row.detail, page_url("ledger_entry", row.linked_id), row.credits)


def _usage(customer: User, row: Row) -> Event:
    day = row.at.astimezone(dt.UTC).date()
    when = {"occurred_at__year": day.year, "occurred_at__month": day.month, "occurred_at__day": day.day}
    url = list_url("usage_requestlog", user=customer.pk, **when)
    count = int(row.detail)
    used = f"{count:,} request{'' if count == 1 else 's'}"
    return Event(row.at, "Usage of the day", used, url, row.credits, is_whole_day=True)


def _holds(customer: User, row: Row) -> Event:
    count = int(row.detail)
    said = f"{count:,} hold{'' if count == 1 else 's'}, {shown(row.credits)} credits in all"
    return Event(row.at, "Holds opened", said, list_url("ledger_hold", user=customer.pk))


def _payment(_: User, row: Row) -> Event:
    state = PaymentState(row.label).label.lower()
    said = f"{state}: {row.detail}" if row.detail else f"{state}, for {shown(row.credits)} credits"
    return Event(row.at, f"Payment {row.linked_id}", said, page_url("ledger_payment", row.linked_id))


def _reload(_: User, row: Row) -> Event:
    kind = ReloadEventKind(row.label).label.lower()
    return Event(row.at, f"Auto-reload: {kind}", row.detail, page_url("ledger_autoreload", row.linked_id))


def _notice(_: User, row: Row) -> Event:
    return Event(row.at, "Notice sent", row.detail or row.label, page_url("accounts_notice", row.linked_id))


def _terms(_: User, row: Row) -> Event:
    what = TermsKind(row.label).label
    return Event(row.at, f"Terms: {what.lower()}", row.detail, page_url("ledger_termschange", row.linked_id))


def _subscription(_: User, row: Row) -> Event:
    what = SubscriptionChangeKind(row.label).label.lower()
    url = page_url("ledger_subscriptionchange", row.linked_id)
    return Event(row.at, f"Subscription: {what}", row.detail, url)


def _request(_: User, row: Row) -> Event:
    what = f"Adjustment of {plain(row.credits or Decimal(0)):+,f} asked for"
    said = f"{AdjustmentState(row.label).label.lower()}: {row.detail}"
    return Event(row.at, what, said, page_url("ledger_adjustmentrequest", row.linked_id))


def _staff(_: User, row: Row) -> Event:
    said = RecordKind(row.label).label if row.detail.startswith("[") else row.detail  # Django's own lists of fields
    return Event(row.at, "Staff", said, page_url("config_staffrecord", row.linked_id))


_COLUMNS = "id, at, label, detail, credits, actor_id, linked_id"
_WITH_AUTHORS = """
    SELECT found.source, found.id, found.at, found.label, found.detail, found.credits, found.linked_id, u.email
    FROM ({}) found LEFT JOIN accounts_user u ON u.id = found.actor_id"""
_ENTRIES = f"""SELECT seq, created_at, reason::text, left(description, {_LONGEST}), amount, actor_id, id AS linked_id
    FROM ledger_entry WHERE user_id = %(user)s AND type = '{{type}}' AND seq < %(below_{{letter}})s
    ORDER BY seq DESC LIMIT %(rows)s"""
_OF_A_CUSTOMER = "WHERE user_id = %(user)s AND id < %(below_{letter})s ORDER BY id DESC LIMIT %(rows)s"
# A day is named by its number since year 1, as Python counts them: it takes part in the order like an id.
_DAY_NUMBER = "(({}) - '0001-01-01'::date + 1)::bigint"
_LAST_SECOND = "least(({day} + 1)::timestamp AT TIME ZONE 'UTC' - interval '1 second', now())"


def _table(letter: str, permission: str, columns: str, table: str, event: Callable[[User, Row], Event]) -> Source:
    """Make a source of a table whose ids rise with its times."""
    sql = f"SELECT id, created_at, {columns}, id AS linked_id FROM {table} {_OF_A_CUSTOMER.format(letter=letter)}"
    return Source(letter, permission, sql, event)


SOURCES = (
    Source("c", "ledger.view_entry", _ENTRIES.format(type="credit", letter="c"), _entry),
    Source("e", "ledger.view_entry", _ENTRIES.format(type="adjustment", letter="e"), _entry),
    Source(
        "u",
        "usage.view_requestlog",
        f"""SELECT {_DAY_NUMBER.format("day")}, {_LAST_SECOND.format(day="day")}, '',
                sum(successful + failed + rejected)::text, -sum(credits), NULL::bigint, NULL::bigint
            FROM usage_dailyusage
            WHERE user_id = %(user)s AND day < '0001-01-01'::date + (least(%(below_u)s, %(tomorrow)s + 1) - 1)::int
            GROUP BY day ORDER BY day DESC LIMIT %(rows)s""",
        _usage,
    ),
    Source(
        "h",  # of the latest hundreds: a day with more of them is told in parts
        "ledger.view_hold",
        f"""SELECT min(id), max(created_at), '', count(*)::text, sum(credits), NULL::bigint, max(id)
            FROM (SELECT id, created_at, credits FROM ledger_hold
                WHERE user_id = %(user)s AND id < %(below_h)s ORDER BY id DESC LIMIT 10 * %(rows)s) latest
            GROUP BY {_DAY_NUMBER.format("(created_at AT TIME ZONE 'UTC')::date")} ORDER BY 1 DESC""",
        _holds,
    ),
    _table(
        "p", "ledger.view_payment", f"state::text, left(failure_message, {_LONGEST}), credits, NULL::bigint",
        "ledger_payment", _payment,
    ),
    Source(
        "r",
        "ledger.view_autoreload",
        f"""SELECT id, created_at, kind::text, left(note, {_LONGEST}), NULL::numeric, actor_id, user_id
            FROM ledger_autoreloadevent {_OF_A_CUSTOMER.format(letter="r")}""",
        _reload,
    ),
    _table(
        "n", "accounts.view_notice", f"type::text, left(subject, {_LONGEST}), NULL::numeric, NULL::bigint",
        "accounts_notice", _notice,
    ),
    _table(
        "t", "ledger.view_termschange", f"kind::text, left(note, {_LONGEST}), NULL::numeric, actor_id",
        "ledger_termschange", _terms,
    ),
    _table(
        "s", "ledger.view_subscriptionchange", f"kind::text, left(note, {_LONGEST}), NULL::numeric, actor_id",
        "ledger_subscriptionchange", _subscription,
    ),
    _table(
        "q", "ledger.view_adjustmentrequest", f"state::text, left(note, {_LONGEST}), amount, author_id",
        "ledger_adjustmentrequest", _request,
    ),
    Source(
        "l",
        "config.view_staffrecord",
        f"""SELECT id, action_time, kind::text, left(change_message, {_LONGEST}), NULL::numeric, user_id, id
            FROM django_admin_log WHERE customer_id = %(user)s AND id < %(below_l)s AND kind <> 'view'
            ORDER BY id DESC LIMIT %(rows)s""",
        _staff,
    ),
)  # fmt: skip
