"""Grants of credits, read-only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.backoffice.credits import shown
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.models import Grant, GrantStatus


@admin.register(Grant)
class GrantAdmin(IdSearch, OfCustomers, ReadOnlyAdmin):
    """Grants as last settled: at an expiry, at a refund, or when the customer asked for the list."""

    list_display = (
        "entry_id", "customer", "shown_amount", "shown_remaining", "shown_expired", "category", "priority",
        "expires_at", "state", "created_at",
    )  # fmt: skip
    list_filter = (CustomerFilter, "category")
    search_help_text = "The id of the entry that opened it, or the customer's email, in full."
    ordering = ("-entry_id",)
    fields = (
        "entry", "customer", "created_at", "shown_amount", "shown_remaining", "shown_expired", "category", "priority",
        "effective_at", "expires_at", "expired_at", "state",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Grant]:
        grants: QuerySet[Grant] = super().get_queryset(request)
        return grants.as_of(timezone.now())  # type: ignore[attr-defined, no-any-return]

    @admin.display(description="amount")
    def shown_amount(self, grant: Grant) -> str:
        return shown(grant.amount)

    @admin.display(description="left when last settled")
    def shown_remaining(self, grant: Grant) -> str:
        return shown(grant.remaining)

    @admin.display(description="expired")
    def shown_expired(self, grant: Grant) -> str:
        return shown(grant.expired)

    @admin.display(description="state")
    def state(self, grant: Grant) -> str:
        return GrantStatus(grant.status_now).label  # type: ignore[attr-defined]
