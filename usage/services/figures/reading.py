"""Reading the folded figures: a row for each day of two months, however long the tables behind them are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from usage.models import CustomerFigures, DayFigures, EndpointFigures
from usage.services.figures.windows import CHARTED, DAY, first_of_month, first_of_month_before, window_of


@dataclass(frozen=True)
class Span:
    """Some days, both included."""

    first: dt.date
    last: dt.date


@dataclass(frozen=True)
class CompanyFigures:
    """The figures of all customers by day, as they were folded last."""

    today: dt.date
    days: dict[dt.date, DayFigures]

    @property
    def newest(self) -> DayFigures | None:
        """Return the figures of the latest day that was folded."""
        return self.days[max(self.days)] if self.days else None

    @property
    def month(self) -> Span:
        return Span(first_of_month(self.today), self.today)

    @property
    def month_before(self) -> Span:
        """Return as much of the month before, to the same day or its end."""
        first = first_of_month_before(self.today)
        return Span(first, min(first + (self.today - first_of_month(self.today)), first_of_month(self.today) - DAY))

    @property
    def charted(self) -> Span:
        return Span(self.today - DAY * (CHARTED - 1), self.today)

    def total(self, name: str, span: Span) -> Any:
        """Return the sum of one figure over some days."""
        return sum((getattr(each, name) for each in self._within(span)), Decimal(0))

    def by_day(self, name: str, span: Span) -> dict[dt.date, Decimal]:
        return {each.day: Decimal(getattr(each, name)) for each in self._within(span)}

    def _within(self, span: Span) -> Iterable[DayFigures]:
        return (each for day, each in self.days.items() if span.first <= day <= span.last)


def company_figures(*, now: dt.datetime) -> CompanyFigures:
    """Read the figures of the days that the front page shows."""
    today = now.astimezone(dt.UTC).date()
    first, last = window_of(today)
    return CompanyFigures(today, {each.day: each for each in DayFigures.objects.filter(day__range=(first, last))})


def top_customers(month: dt.date, *, most: int) -> list[CustomerFigures]:
    """Return the customers who spent most in the month that is folded now."""
    spenders = CustomerFigures.objects.select_related("user").filter(month=month, spent__gt=0)
    return list(spenders.order_by("month", "-spent")[:most])


def top_endpoints(span: Span, *, most: int) -> list[dict[str, Any]]:
    """Return the endpoints on which most was spent, with their requests: `endpoint`, `spent`, `made`."""
    rows = EndpointFigures.objects.filter(day__range=(span.first, span.last)).values("endpoint")
    summed = rows.annotate(spent=Sum("credits"), made=Sum("requests"))
    return [dict(row) for row in summed.order_by("-spent", "-made", "endpoint")[:most]]


def spent_by_endpoint(endpoints: Iterable[str], span: Span) -> dict[str, dict[dt.date, Decimal]]:
    """Return what was spent on each of some endpoints by day."""
    spent: dict[str, dict[dt.date, Decimal]] = {endpoint: {} for endpoint in endpoints}
    rows = EndpointFigures.objects.filter(day__range=(span.first, span.last), endpoint__in=list(spent))
    for endpoint, day, credits in rows.values_list("endpoint", "day", "credits"):
        spent[endpoint][day] = credits
    return spent
