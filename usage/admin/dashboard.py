"""The front page of the back office: key figures, each linked to its list."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from django.contrib import admin
from django.core.cache import cache
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import ApiKey, User
from config.backoffice.credits import shown
from config.backoffice.links import list_url, page_url
from config.backoffice.site import BackOfficeSite
from config.backoffice.times import shown_at
from ledger.admin.credits.available import expired_credits
from ledger.models import (
    OPEN_STATES,
    Balance,
    DisputeStatus,
    Hold,
    HoldStatus,
    Payment,
    PaymentDispute,
    PaymentState,
)
from usage.models import DailyUsage, ReconciliationRun, RequestLog
from usage.selectors import last_full_audit

KEPT_SECONDS = 60
_CACHE_KEY = "back-office-figures"
_NONE = Decimal(0)


@dataclass(frozen=True)
class Figures:
    """Figures over all customers, as of one time."""

    at: dt.datetime
    customers: int
    outstanding: Decimal
    reserved: Decimal
    without_credits: int
    used_today: Decimal
    used_this_month: Decimal
    requests_today: int
    failed_today: int
    unpaid_this_month: int
    keys_in_use: int
    unsettled_holds: int
    payments_open: int
    payments_failed: int
    payments_disputed: int
    audit: ReconciliationRun | None


@dataclass(frozen=True)
class Tile:
    """One number on the page."""

    title: str
    value: str
    url: str
    note: str = ""
    needs_care: bool = False


def front_page(request: HttpRequest) -> dict[str, Any]:
    """Render the front page with the figures that this member of staff may see."""
    figures = figures_now()
    return {"tiles": tiles_for(request.user, figures), "figures_at": figures.at, "kept_seconds": KEPT_SECONDS}


cast(BackOfficeSite, admin.site).front_page = front_page


def figures_now() -> Figures:
    """Return the figures, at most KEPT_SECONDS old: each process counts them at most that often."""
    figures: Figures | None = cache.get(_CACHE_KEY)
    if figures is None:
        figures = _count(timezone.now())
        cache.set(_CACHE_KEY, figures, KEPT_SECONDS)
    return figures


def forget_figures() -> None:
    """Discard the cached figures, so that the next call counts again."""
    cache.delete(_CACHE_KEY)


def _count(now: dt.datetime) -> Figures:
    """Count the figures, one statement a table. Of requests only the daily sums and an index are read."""
    today = now.astimezone(dt.UTC).date()
    balances = Balance.objects.aggregate(
        outstanding=Coalesce(Sum(F("balance") - expired_credits()), _NONE),
        reserved=Coalesce(Sum("reserved"), _NONE),
        without=Count("pk", filter=Q(balance__lte=0)),
    )
    unsettled = Hold.objects.filter(status=HoldStatus.OPEN, expires_at__lte=now).aggregate(
        number=Count("pk"), credits=Coalesce(Sum(F("credits") - F("captured")), _NONE)
    )
    month = dt.datetime(today.year, today.month, 1, tzinfo=dt.UTC)
    is_open, has_failed = Q(state__in=OPEN_STATES), Q(state=PaymentState.FAILED, created_at__gte=month)
    payments = Payment.objects.filter(is_open | has_failed).aggregate(
        open=Count("pk", filter=is_open), failed=Count("pk", filter=has_failed)
    )
    is_today = Q(day=today)
    requests = F("successful") + F("failed") + F("rejected")
    usage = DailyUsage.objects.filter(day__gte=today.replace(day=1), day__lte=today).aggregate(
        used=Coalesce(Sum("credits"), _NONE),
        used_today=Coalesce(Sum("credits", filter=is_today), _NONE),
        requests_today=Coalesce(Sum(requests, filter=is_today), 0),
        failed_today=Coalesce(Sum("failed", filter=is_today), 0),
    )
    return Figures(
        at=now,
        customers=User.objects.filter(is_staff=False).count(),
        outstanding=balances["outstanding"],
        reserved=balances["reserved"] - unsettled["credits"],
        without_credits=balances["without"],
        used_today=usage["used_today"],
        used_this_month=usage["used"],
        requests_today=int(usage["requests_today"]),
        failed_today=int(usage["failed_today"]),
        unpaid_this_month=RequestLog.objects.filter(unpaid=True, occurred_at__gte=month).count(),
        keys_in_use=ApiKey.objects.filter(last_used_at__gte=now - dt.timedelta(days=1)).count(),
        unsettled_holds=unsettled["number"],
        payments_open=payments["open"],
        payments_failed=payments["failed"],
        payments_disputed=PaymentDispute.objects.filter(status=DisputeStatus.OPEN).count(),
        audit=last_full_audit(),
    )


def tiles_for(viewer: Any, figures: Figures) -> list[Tile]:
    """Return the tiles whose lists this member of staff may see."""
    day = figures.at.astimezone(dt.UTC).date()
    this_month = {"occurred_at__year": day.year, "occurred_at__month": day.month}
    today = {**this_month, "occurred_at__day": day.day}
    tiles = {
        "accounts.view_user": [
            Tile("Customers", f"{figures.customers:,}", list_url("accounts_user", is_staff__exact=0))
        ],
        "ledger.view_balance": [
            Tile("Credits outstanding", _rounded(figures.outstanding), list_url("ledger_balance")),
            Tile(
                "At or below zero", f"{figures.without_credits:,}", list_url("ledger_balance", state="empty"),
                note="customers",
            ),
        ],
        "ledger.view_hold": [
            Tile("Reserved by holds", _rounded(figures.reserved), list_url("ledger_hold", expiry="ahead")),
            Tile(
                "Holds expired, not settled", f"{figures.unsettled_holds:,}",
                list_url("ledger_hold", expiry="unsettled"), note="they hold nothing any more",
            ),
        ],
        "ledger.view_payment": [
            Tile("Payments under way", f"{figures.payments_open:,}", list_url("ledger_payment", state="open")),
            Tile(
                "Payments failed this month", f"{figures.payments_failed:,}",
                list_url("ledger_payment", state="failed", created_at__year=day.year, created_at__month=day.month),
            ),
            Tile(
                "Payments disputed", f"{figures.payments_disputed:,}", list_url("ledger_payment", state="disputed"),
                note="not decided yet", needs_care=figures.payments_disputed > 0,
            ),
        ],
        "usage.view_requestlog": [
            Tile("Credits used today", _rounded(figures.used_today), list_url("usage_requestlog", **today)),
            Tile(
                "Credits used this month", _rounded(figures.used_this_month),
                list_url("usage_requestlog", **this_month),
            ),
            Tile("Requests today", f"{figures.requests_today:,}", list_url("usage_requestlog", **today)),
            Tile(
                "Failed today", _share(figures.failed_today, figures.requests_today),
                list_url("usage_requestlog", outcome="failed", **today), note=_counted(figures.failed_today, "request"),
            ),
            Tile(
                "Unpaid this month", f"{figures.unpaid_this_month:,}",
                list_url("usage_requestlog", outcome="unpaid", **this_month), note="requests",
                needs_care=figures.unpaid_this_month > 0,
            ),
        ],
        "accounts.view_apikey": [
            Tile("Keys used in 24 hours", f"{figures.keys_in_use:,}", list_url("accounts_apikey", used="day"))
        ],
        "usage.view_reconciliationrun": [_audit_tile(figures.audit)],
    }  # fmt: skip
    return [tile for permission, those in tiles.items() if viewer.has_perm(permission) for tile in those]


def _audit_tile(audit: ReconciliationRun | None) -> Tile:
    if audit is None:
        return Tile(
            "Reconciliation", "never", list_url("usage_reconciliationrun"), note="no full run yet", needs_care=True
        )
    return Tile(
        "Reconciliation",
        _counted(audit.findings, "finding"),
        page_url("usage_reconciliationrun", audit.pk),
        note=shown_at(audit.finished_at),
        needs_care=audit.findings > 0,
    )


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _rounded(credits: Decimal) -> str:
    """Print a sum over customers for a tile, which has no room for six places; its list has them."""
    return shown(credits.quantize(Decimal("0.01")))
