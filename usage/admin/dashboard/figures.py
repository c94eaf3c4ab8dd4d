"""Figures of the front page, each linked to the list behind it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from config.backoffice.credits import shown
from config.backoffice.links import list_url, page_url
from config.backoffice.times import age_of, shown_at
from usage.models import DayFigures
from usage.selectors import last_full_audit
from usage.services.figures.reading import CompanyFigures, Span
from usage.services.figures.windows import DAY, midnight

OLD_AFTER = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Tile:
    """One number on the page."""

    title: str
    value: str
    url: str
    note: str = ""
    needs_care: bool = False


@dataclass(frozen=True)
class Compared:
    """One figure of this month and of the month before, to the same day."""

    title: str
    now: str
    url: str
    before: str
    before_url: str
    change: str


@dataclass(frozen=True)
class Months:
    """Both months, as the table's head names them."""

    now: str
    before: str
    rows: list[Compared]


@dataclass(frozen=True)
class Freshness:
    """How old the figures are, as the page says."""

    said: str
    is_old: bool


def tiles_for(viewer: Any, figures: CompanyFigures) -> list[Tile]:
    """Return what customers have now, as far as this member of staff may list it."""
    newest = figures.newest
    if newest is None or not viewer.has_perm("ledger.view_balance"):
        return []
    behind = f"{newest.behind:,} customers are still to be counted" if newest.behind else ""
    grants = viewer.has_perm("ledger.view_grant")
    tiles = [
        Tile("Credits outstanding", rounded(newest.paid + newest.promotional), list_url("ledger_balance"), behind),
        Tile("Of these, paid", rounded(newest.paid), _grants("paid", grants)),
        Tile("Of these, promotional", rounded(newest.promotional), _grants("promotional", grants)),
        Tile("At or below zero", f"{newest.without_credits:,}", list_url("ledger_balance", state="empty"), "customers"),
    ]
    if viewer.has_perm("ledger.view_hold"):
        tiles.append(Tile("Reserved by holds", rounded(newest.reserved), list_url("ledger_hold", expiry="ahead")))
    return tiles


def last_run_for(viewer: Any) -> Tile | None:
    """Return the last full run of reconciliation; None if the viewer may not list runs."""
    if not viewer.has_perm("usage.view_reconciliationrun"):
        return None
    run = last_full_audit()
    if run is None:
        return Tile("Reconciliation", "never", list_url("usage_reconciliationrun"), "no full run yet", needs_care=True)
    found = f"{run.findings:,} finding{'' if run.findings == 1 else 's'}"
    url = page_url("usage_reconciliationrun", run.pk)
    return Tile("Reconciliation", found, url, shown_at(run.finished_at), needs_care=run.findings > 0)


@dataclass(frozen=True)
class _Row:
    title: str
    permission: str
    names: tuple[str, ...]  # of the figures that it adds up
    url: Callable[[Span], str]
    is_credits: bool = False


def comparison_for(viewer: Any, figures: CompanyFigures) -> Months | None:
    """Compare this month with the one before, to the same day; None if there is nothing that the viewer may list."""
    rows = [_compared(row, figures) for row in _ROWS if viewer.has_perm(row.permission)]
    if not rows or not figures.days:
        return None
    return Months(_named(figures.month), _named(figures.month_before), rows)


def freshness_of(figures: CompanyFigures, now: dt.datetime) -> Freshness:
    newest: DayFigures | None = figures.newest
    if newest is None:
        return Freshness(
            "No figures yet: the job fold_figures makes them, within a minute where jobs run.", is_old=True
        )
    if now - newest.folded_at > OLD_AFTER:
        age = age_of(newest.folded_at, now)
        return Freshness(f"These figures are {age} old: the job fold_figures does not run.", is_old=True)
    at = newest.folded_at.astimezone(dt.UTC)
    return Freshness(f"Counted at {at:%H:%M:%S} UTC, every minute. Days and months are UTC’s.", is_old=False)


def rounded(credits: Decimal) -> str:
    """Print a sum over customers, which has no room for six places; its list has them."""
    return shown(credits.quantize(Decimal("0.01")))


def _grants(category: str, may_list: bool) -> str:  # noqa: FBT001
    return list_url("ledger_grant", category__exact=category) if may_list else list_url("ledger_balance")


def _dates(field: str, span: Span) -> dict[str, str]:
    """Return the filter of a list by some days, both included."""
    first, after = midnight(span.first), midnight(span.last + DAY)
    return {f"{field}__gte": first.isoformat(), f"{field}__lt": after.isoformat()}


def _entries(reason: str) -> Callable[[Span], str]:
    return lambda span: list_url("ledger_entry", reason__exact=reason, **_dates("created_at", span))


def _requests(**filters: str) -> Callable[[Span], str]:
    return lambda span: list_url("usage_requestlog", **filters, **_dates("occurred_at", span))


def _lost(span: Span) -> str:
    return list_url("accounts_user", lost=f"{span.first}_{span.last}")


_ROWS = (
    _Row("Credits sold", "ledger.view_entry", ("sold",), _entries("purchase"), is_credits=True),
    _Row("Credits reloaded", "ledger.view_entry", ("reloaded",), _entries("auto_reload"), is_credits=True),
    _Row("Credits spent", "usage.view_requestlog", ("spent",), _requests(), is_credits=True),
    _Row("Requests", "usage.view_requestlog", ("requests",), _requests()),
    _Row("Requests that failed", "usage.view_requestlog", ("failed",), _requests(outcome="failed")),
    _Row(
        "New customers", "accounts.view_user", ("new_customers",),
        lambda span: list_url("accounts_user", is_staff__exact=0, **_dates("created_at", span)),
    ),
    _Row("Lost customers", "accounts.view_user", ("lost_customers",), _lost),
)  # fmt: skip


def _compared(row: _Row, figures: CompanyFigures) -> Compared:
    now, before = (
        sum((figures.total(name, span) for name in row.names), Decimal(0))
        for span in (figures.month, figures.month_before)
    )
    printed = rounded if row.is_credits else lambda number: f"{int(number):,}"
    return Compared(
        row.title, printed(now), row.url(figures.month), printed(before), row.url(figures.month_before),
        _change(now, before),
    )  # fmt: skip


def _change(now: Decimal, before: Decimal) -> str:
    if before <= 0:
        return "–"
    percent = (now - before) * 100 / before
    return f"{percent:+,.0f} %".replace("-", "−")


def _named(span: Span) -> str:
    return (
        f"{span.first.day}–{span.last.day} {span.last:%B}"
        if span.last > span.first
        else f"{span.last.day} {span.last:%B}"
    )
