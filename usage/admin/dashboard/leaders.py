"""Who and what used most this month, each with a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.backoffice.links import list_url, page_url
from usage.admin.dashboard.figures import rounded
from usage.services.figures.reading import CompanyFigures, top_customers, top_endpoints

MOST = 5


@dataclass(frozen=True)
class Leaders:
    """A short table: name, its link, and credits spent this month."""

    title: str
    column: str
    rows: list[tuple[str, str, str]]


def leaders_for(viewer: Any, figures: CompanyFigures) -> list[Leaders]:
    """Return the tables that this member of staff may see."""
    if not figures.days or not viewer.has_perm("usage.view_requestlog"):
        return []
    tables = []
    if viewer.has_perm("accounts.view_user"):
        customers = top_customers(figures.month.first, most=MOST)
        rows = [(str(each.user), page_url("accounts_user", each.user_id), rounded(each.spent)) for each in customers]
        tables.append(Leaders("Top customers of the month", "Customer", rows))
    dates = {"occurred_at__year": figures.today.year, "occurred_at__month": figures.today.month}
    endpoints = top_endpoints(figures.month, most=MOST)
    links = [list_url("usage_requestlog", endpoint__exact=row["endpoint"], **dates) for row in endpoints]
    rows = [(row["endpoint"], link, rounded(row["spent"])) for row, link in zip(endpoints, links, strict=True)]
    tables.append(Leaders("Top endpoints of the month", "Endpoint", rows))
    return [table for table in tables if table.rows]
