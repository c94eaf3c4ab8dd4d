"""Changes of the terms on which customers may spend, read-only."""

from __future__ import annotations

from django.contrib import admin

from config.backoffice.filters import CustomerFilter
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.admin.terms.actions import description_of
from ledger.models import TermsChange


@admin.register(TermsChange)
class TermsChangeAdmin(OfCustomers, ReadOnlyAdmin):
    """Who froze a balance or set an overdraft limit, when and why; kept for ever."""

    list_display = ("created_at", "customer", "what", "reason", "actor")
    list_select_related = ("user", "actor")
    list_filter = (CustomerFilter, "kind")
    search_fields = ("user__email", "note")
    search_help_text = "Part of the customer's email or of the reason."
    ordering = ("-id",)
    fields = ("created_at", "customer", "what", "reason", "actor", "idempotency_key")

    @admin.display(description="what")
    def what(self, change: TermsChange) -> str:
        return description_of(change)

    @admin.display(description="reason")
    def reason(self, change: TermsChange) -> str:
        return change.note
