"""The notices that customers were sent, read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from accounts.models import NOTICE_TYPES, STAFF_NOTICE_TYPES, Notice
from config.backoffice.dates import ByDate
from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import ConditionFilter, CustomerFilter
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from config.values.json import exact_json


class TypeFilter(ConditionFilter):
    title = "type"
    parameter_name = "type"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {name: (name, Q(type=name)) for name in sorted(NOTICE_TYPES | STAFF_NOTICE_TYPES)}


class EmailFilter(ConditionFilter):
    title = "email"
    parameter_name = "email"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {
            "due": ("To be sent", Q(email_due_at__isnull=False)),
            "sent": ("Sent", Q(emailed_at__isnull=False)),
        }


@admin.register(Notice)
class NoticeAdmin(ByDate, ExactSearch, OfCustomers, ReadOnlyAdmin):
    list_display = ("id", "customer", "type", "subject", "created_at", "email_due_at", "emailed_at")
    list_filter = (CustomerFilter, TypeFilter, EmailFilter)
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    search_fields = ("key",)
    search_help_text = "A notice's id, its key or the customer's email: all of it."
    ordering = ("-id",)
    fields = (
        "id", "customer", "type", "key", "message_id", "particulars", "subject", "body", "created_at", "email_due_at",
        "email_tries", "emailed_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user")

    @admin.display(description="data")
    def particulars(self, notice: Notice) -> str:
        return exact_json(notice.data)
