"""What customers want to be told, to be looked at: they set it themselves."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from config.backoffice.credits import shown
from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.read_only import ReadOnlyAdmin
from usage.models import Alert


@admin.register(Alert)
class AlertAdmin(ExactSearch, ReadOnlyAdmin):
    list_display = ("id", "customer", "kind", "threshold", "is_enabled", "by_email", "crossed_at", "created_at")
    list_select_related = ("user",)
    list_filter = (CustomerFilter, "kind", "is_enabled")
    search_fields = ("id",)
    search_help_text = "The alert's id, or the customer's email: all of it."
    ordering = ("-id",)
    fields = ("id", "customer", "kind", "threshold", "is_enabled", "by_email", "crossed_at", "created_at")

    def wanted(self, term: str) -> Q:  # noqa: ARG002
        return Q(pk__in=[])  # an id is found by its index

    @admin.display(description="customer")
    def customer(self, alert: Alert) -> SafeString:
        return page_link("accounts_user", alert.user_id, alert.user)

    @admin.display(description="threshold")
    def threshold(self, alert: Alert) -> str | None:
        if alert.days is not None:
            return f"{alert.days} days"
        return None if alert.credits is None else f"{shown(alert.credits)} credits"
