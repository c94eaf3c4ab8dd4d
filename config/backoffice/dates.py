"""Lists by year, month and day, without reading the whole table for the days that have rows.

Django's own date hierarchy reads every row of a list for that. This one shows all the years, months or days
between the first and the last row, which a list can read from an index; some may be empty.
"""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.backoffice.model_admin import ModelAdmin
from config.backoffice.paginator import CappedPaginator

Bounds = tuple[dt.datetime, dt.datetime]
_SPANS = (dt.timedelta(hours=1), dt.timedelta(days=1), dt.timedelta(days=7))


def is_narrowed_by(request: HttpRequest, field: str | None) -> bool:
    """Return whether the URL narrows the list by this field."""
    return field is not None and any(name.startswith(f"{field}__") for name in request.GET)


class ByDate(ModelAdmin):
    """A list with links to years, months and days of its `date_hierarchy`.

    A list that `is_long` is sorted newest first by that field whenever its dates are narrowed. If dates nearly rise
    with ids (`dates_rise_with_ids`), the first row's date counts as the earliest, and no other row is read.
    """

    is_long = False
    dates_rise_with_ids = False

    def date_bounds(self) -> Bounds | None:
        """Return the dates of the first and the last row, roughly on long tables; None if there is no row."""
        field = str(self.date_hierarchy)
        if self.dates_rise_with_ids:
            first = self.model._default_manager.order_by("pk").values_list(field, flat=True).first()
            return None if first is None else (first, timezone.now())
        found = self.model._default_manager.aggregate(first=Min(field), last=Max(field))
        return None if found["first"] is None else (found["first"], found["last"])

    def get_paginator(
        self, request: HttpRequest, queryset: QuerySet[Any], per_page: int, *args: Any, **options: Any
    ) -> Paginator[Any]:
        """Return a paginator of the latest rows of a long date range: sorting others would be wasted."""
        end = _end_of_range(request, self.date_hierarchy) if self.is_long else None
        if end is not None:
            queryset = _latest_of_range(queryset, str(self.date_hierarchy), min(end, timezone.now()))
        paginator: Paginator[Any] = super().get_paginator(request, queryset, per_page, *args, **options)
        return paginator


def _end_of_range(request: HttpRequest, field: str | None) -> dt.datetime | None:
    """Return the end of the chosen year, month or day; None if none is chosen."""
    year, month, day = (int(request.GET.get(f"{field}__{part}") or 0) for part in ("year", "month", "day"))
    if not year or year >= dt.MAXYEAR:
        return None
    if not month:
        return dt.datetime(year + 1, 1, 1, tzinfo=dt.UTC)
    if not day:
        return dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=dt.UTC)
    return dt.datetime(year, month, day, tzinfo=dt.UTC) + dt.timedelta(days=1)


def _latest_of_range(rows: QuerySet[Any], field: str, end: dt.datetime) -> QuerySet[Any]:
    for span in _SPANS:
        latest = rows.filter(**{f"{field}__gte": end - span})
        if latest.order_by().values("pk")[: CappedPaginator.cap].count() >= CappedPaginator.cap:
            return latest
    return rows


def links_by_date(changelist: Any) -> dict[str, Any]:
    """Return the link back and the choices one level below the URL's, for the template."""
    field = changelist.date_hierarchy
    year, month, day = (_chosen(changelist, f"{field}__{part}") for part in ("year", "month", "day"))
    bounds = changelist.model_admin.date_bounds()
    if bounds is None:
        return {"show": False}
    first, last = (moment.astimezone(dt.UTC).date() for moment in bounds)
    if not year and first.year == last.year:  # a single choice: start one level below
        year, month = first.year, first.month if first.month == last.month else 0

    def link(**chosen: int) -> str:
        asked = {f"{field}__{part}": value for part, value in chosen.items()}
        return str(changelist.get_query_string(asked, [f"{field}__"]))

    if year and month and day:
        back = {"link": link(year=year, month=month), "title": f"{year}-{month:02}"}
        return {"show": True, "back": back, "choices": [{"title": f"{year}-{month:02}-{day:02}"}]}
    if year and month:
        days = range(1, calendar.monthrange(year, month)[1] + 1)
        choices = [
            {"link": link(year=year, month=month, day=day), "title": f"{month:02}-{day:02}"}
            for day in days
            if first <= dt.date(year, month, day) <= last
        ]
        return {"show": True, "back": {"link": link(year=year), "title": str(year)}, "choices": choices}
    if year:
        choices = [
            {"link": link(year=year, month=month), "title": f"{year}-{month:02}"}
            for month in range(1, 13)
            if (first.year, first.month) <= (year, month) <= (last.year, last.month)
        ]
        return {"show": True, "back": {"link": link(), "title": "All dates"}, "choices": choices}
    years = range(first.year, last.year + 1)
    return {"show": True, "back": None, "choices": [{"link": link(year=year), "title": str(year)} for year in years]}


def _chosen(changelist: Any, name: str) -> int:
    """Return a part of the URL's date; the list itself has refused invalid ones."""
    return int(changelist.params.get(name) or 0)
