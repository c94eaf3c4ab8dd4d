"""The request log, to be looked at."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from config.backoffice.credits import shown
from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.read_only import ReadOnlyAdmin
from usage.models import RequestLog

_REJECTED = (401, 402, 429)


class OutcomeFilter(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [
            ("successful", "Successful"), ("failed", "Failed"), ("rejected", "Rejected"), ("unpaid", "Unpaid")
        ]  # fmt: skip

    def queryset(self, request: HttpRequest, queryset: QuerySet[RequestLog]) -> QuerySet[RequestLog]:  # noqa: ARG002
        match self.value():
            case "successful":
                return queryset.filter(status__lt=400)
            case "failed":
                return queryset.filter(status__gte=400).exclude(status__in=_REJECTED)
            case "rejected":
                return queryset.filter(status__in=_REJECTED)
            case "unpaid":
                return queryset.filter(unpaid=True)
        return queryset


@admin.register(RequestLog)
class RequestLogAdmin(ExactSearch, ReadOnlyAdmin):
    list_display = (
        "id", "customer", "status", "shown_credits", "occurred_at", "method", "path", "unpaid", "reference", "api_key",
    )  # fmt: skip
    list_select_related = ("user", "api_key")
    list_filter = (CustomerFilter, OutcomeFilter, "occurred_at")
    search_fields = ("reference",)
    search_help_text = "A request's id, its X-Request-Id, a reference, or a customer's email: all of it."
    fields = (
        "id", "customer", "key", "occurred_at", "recorded_at", "method", "path", "endpoint", "status", "latency_ms",
        "shown_units", "applied_price", "shown_credits", "unpaid", "debit", "request_id", "reference", "source",
        "metadata",
    )  # fmt: skip

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Newest first, by the index that serves what is asked: one customer's requests have their own."""
        return ("-occurred_at", "-id") if CustomerFilter.parameter_name in request.GET else ("-id",)

    def wanted(self, term: str) -> Q:
        try:
            return super().wanted(term) | Q(request_id=uuid.UUID(term))
        except ValueError:
            return super().wanted(term)

    @admin.display(description="customer")
    def customer(self, log: RequestLog) -> SafeString:
        return page_link("accounts_user", log.user_id, log.user)

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
