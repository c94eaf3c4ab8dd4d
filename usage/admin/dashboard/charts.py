"""Charts of the front page: what was sold and what was spent by day, for thirty days."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from config.charts import LARGEST, OTHERS, Chart, by_day
from usage.services.figures.reading import CompanyFigures, spent_by_endpoint, top_endpoints


def charts_for(viewer: Any, figures: CompanyFigures) -> list[Chart]:
    """Return the charts whose lists this member of staff may see."""
    if not figures.days:
        return []
    charts = []
    if viewer.has_perm("ledger.view_entry"):
        charts.append(_sold(figures))
    if viewer.has_perm("usage.view_requestlog"):
        charts.append(_spent(figures))
    return charts


def _sold(figures: CompanyFigures) -> Chart:
    span = figures.charted
    groups = {
        "bought or sold by hand": figures.by_day("sold", span),
        "auto-reload": figures.by_day("reloaded", span),
    }
    return by_day(
        title="Credits sold", unit="credits", first=span.first, last=span.last, groups=_without_empty(groups),
        empty="Nothing was sold in these days.",
    )  # fmt: skip


def _spent(figures: CompanyFigures) -> Chart:
    span = figures.charted
    named = [row["endpoint"] for row in top_endpoints(span, most=LARGEST - 1)]
    groups = spent_by_endpoint(named, span)
    rest = {
        day: spent - sum((days.get(day, Decimal(0)) for days in groups.values()), Decimal(0))
        for day, spent in figures.by_day("spent", span).items()
    }
    return by_day(
        title="Credits spent", unit="credits", first=span.first, last=span.last,
        groups=_without_empty({**groups, OTHERS: rest}), empty="Nothing was spent in these days.",
    )  # fmt: skip


def _without_empty(groups: dict[str, dict[dt.date, Decimal]]) -> dict[str, dict[dt.date, Decimal]]:
    return {name: days for name, days in groups.items() if any(days.values())}
