"""The read-only list of alerts, which customers set themselves."""

from __future__ import annotations

from django.contrib import admin

from config.backoffice.credits import shown
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from usage.models import Alert


@admin.register(Alert)
class AlertAdmin(IdSearch, OfCustomers, ReadOnlyAdmin):
    list_display = ("id", "customer", "kind", "threshold", "is_enabled", "by_email", "crossed_at", "created_at")
    list_filter = (CustomerFilter, "kind", "is_enabled")
    search_help_text = "The alert's id, or the customer's email: all of it."
    ordering = ("-id",)
    fields = ("id", "customer", "kind", "threshold", "is_enabled", "by_email", "crossed_at", "created_at")

    @admin.display(description="threshold")
    def threshold(self, alert: Alert) -> str | None:
        if alert.days is not None:
            return f"{alert.days} days"
        return None if alert.credits is None else f"{shown(alert.credits)} credits"
