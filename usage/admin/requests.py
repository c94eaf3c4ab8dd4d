"""The read-only list of the request log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from config.backoffice.credits import shown
from config.backoffice.dates import Bounds, ByDate, is_narrowed_by
from config.backoffice.exact_search import LATEST, ExactSearch
from config.backoffice.exports import CustomersExport, Exportable, column
from config.backoffice.filters import ConditionFilter, CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.admin.credits.look_ups import charges_with_reference
from usage.models import RequestLog
from usage.models.outcomes import REJECTED_STATUSES
from usage.services.partitions import kept_months

_HAS_FAILED = Q(status__gte=400)  # written as in the condition of the index of failed requests


class OutcomeFilter(ConditionFilter):
    title = "outcome"
    parameter_name = "outcome"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        is_rejected = Q(status__in=REJECTED_STATUSES)
        return {
            "successful": ("Successful", Q(status__lt=400)),
            "failed": ("Failed", _HAS_FAILED & ~is_rejected),
            "rejected": ("Rejected", _HAS_FAILED & is_rejected),
            "unpaid": ("Unpaid", Q(unpaid=True)),
        }


class RequestExport(CustomersExport):
    api_key = column("api_key")
    occurred_at = column("occurred_at")
    recorded_at = column("recorded_at")
    method = column("method")
    path = column("path")
    endpoint = column("endpoint")
    status = column("status")
    units = column("units")
    credits = column("credits")
    unpaid = column("unpaid")
    latency_ms = column("latency_ms")
    entry_id = column("entry_id")
    request_id = column("request_id")
    reference = column("reference")
    source = column("source")
    metadata = column("metadata")


@admin.register(RequestLog)
class RequestLogAdmin(Exportable, ByDate, ExactSearch, OfCustomers, ReadOnlyAdmin):
    list_display = (
        "id", "customer", "status", "shown_credits", "occurred_at", "method", "path", "unpaid", "reference", "api_key",
    )  # fmt: skip
    list_select_related = ("user", "api_key")
    list_filter = (CustomerFilter, OutcomeFilter, "occurred_at")
    date_hierarchy = "occurred_at"
    is_long = True
    search_fields = ("reference",)
    search_help_text = (
        "A request's id, the reference of a paid one, or a customer's email: all of it. X-Request-Ids and other"
        " references are found among the latest 100,000 requests, behind an email among this customer's, or in"
        " chosen dates."
    )
    resource_classes = (RequestExport,)
    fields = (
        "id", "customer", "key", "occurred_at", "recorded_at", "method", "path", "endpoint", "status", "latency_ms",
        "shown_units", "applied_price", "shown_credits", "unpaid", "debit", "request_id", "reference", "source",
        "metadata",
    )  # fmt: skip

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Order by the newest first, by the index that serves the query: one customer's requests have their own."""
        by_time = (
            CustomerFilter.parameter_name in request.GET
            or request.GET.get(OutcomeFilter.parameter_name) in ("failed", "rejected", "unpaid")
            or is_narrowed_by(request, self.date_hierarchy)
        )
        return ("-occurred_at", "-id") if by_time else ("-id",)

    def date_bounds(self) -> Bounds | None:
        """Return the bounds of the months for which the log is kept."""
        months = kept_months()
        return (dt.datetime.combine(months[0], dt.time(), dt.UTC), timezone.now()) if months else None

    def found_by_index(self, term: str, customers: Collection[int] | None) -> list[int]:
        return [*super().found_by_index(term, customers), *charges_with_reference(term, customers)]

    def latest(self, rows: QuerySet[Any], customers: Collection[int] | None) -> QuerySet[Any]:
        """Narrow to the latest requests of these customers too: one of them may have most of the log."""
        if customers is None:
            return super().latest(rows, customers)
        times = RequestLog.objects.filter(user_id__in=customers).order_by("-occurred_at")
        earliest = times.values_list("occurred_at", flat=True)[LATEST : LATEST + 1].first()
        return rows if earliest is None else rows.filter(occurred_at__gt=earliest)

    def wanted(self, term: str) -> Q:
        try:
            return super().wanted(term) | Q(request_id=uuid.UUID(term))
        except ValueError:
            return super().wanted(term)

    @admin.display(description="API key")
    def key(self, log: RequestLog) -> SafeString | None:
        return None if log.api_key is None else page_link("accounts_apikey", log.api_key.pk, log.api_key)

    @admin.display(description="credits")
    def shown_credits(self, log: RequestLog) -> str:
        return shown(log.credits)

    @admin.display(description="units")
    def shown_units(self, log: RequestLog) -> str:
        return shown(log.units)

    @admin.display(description="price")
    def applied_price(self, log: RequestLog) -> SafeString | None:
        if log.price is None:
            return None
        return page_link("usage_price", log.price.pk, f"{log.price.endpoint} = {shown(log.price.credits)}")

    @admin.display(description="paid by entry")
    def debit(self, log: RequestLog) -> SafeString | None:
        return None if log.entry_id is None else page_link("ledger_entry", log.entry_id, log.entry_id)
