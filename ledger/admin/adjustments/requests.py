"""Requests for adjustments, read-only: those that wait first, each with the pages that decide about it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.backoffice.acting import Acting
from config.backoffice.credits import NOTHING, shown, shown_signed
from config.backoffice.dates import ByDate, is_narrowed_by
from config.backoffice.exact_search import ExactSearch
from config.backoffice.exports import CustomersExport, Exportable, column
from config.backoffice.filters import ConditionFilter, CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.admin.adjustments.deciding import Approve, Reject, Withdraw
from ledger.admin.adjustments.uploading import UploadAdjustments
from ledger.admin.adjustments.words import because_of
from ledger.models import AdjustmentRequest, AdjustmentState
from ledger.models.adjustment import IS_PENDING


class StateFilter(ConditionFilter):
    title = "state"
    parameter_name = "state"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {
            "alone": ("Posted by one person", Q(state=AdjustmentState.APPROVED, second_person_because=None)),
            "approved": (
                "Approved by a second person",
                Q(state=AdjustmentState.APPROVED, second_person_because__isnull=False),
            ),
            **{
                state.value: (str(state.label), Q(state=state))
                for state in (AdjustmentState.PENDING, AdjustmentState.REJECTED, AdjustmentState.WITHDRAWN)
            },
        }


class AdjustmentRequestExport(CustomersExport):
    created_at = column("created_at")
    amount = column("amount")
    total = column("total")
    reason = column("reason")
    note = column("note")
    reference = column("reference")
    reverses_id = column("reverses_id")
    balance_before = column("balance_before")
    file_name = column("file_name")
    line_count = column("line_count")
    author = column("author__email", "author")
    second_person_because = column("second_person_because")
    state = column("state")
    decided_by = column("decided_by__email", "decided_by")
    decided_at = column("decided_at")
    decision_note = column("decision_note")
    entry_id = column("entry_id")


@admin.register(AdjustmentRequest)
class AdjustmentRequestAdmin(Acting, Exportable, ByDate, ExactSearch, OfCustomers, ReadOnlyAdmin):
    """Who asked to adjust whose credits, why, and who agreed. Nobody changes it, superusers included."""

    change_list_template = "admin/ledger/adjustmentrequest/change_list.html"
    resource_classes = (AdjustmentRequestExport,)
    staff_actions = (Approve, Reject, Withdraw)
    list_display = (
        "id", "customer", "shown_amount", "outcome", "note", "author", "decided_by", "created_at", "reference",
        "reason",
    )  # fmt: skip
    list_filter = (StateFilter, CustomerFilter)
    list_select_related = ("user", "author", "decided_by")
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    search_fields = ("reference",)
    search_help_text = (
        "A request's id or a customer's email, in full. References are found among the latest 100,000 requests, in"
        " chosen dates, or behind the customer's email."
    )

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        """Order what waits first, then newest first, by the index that fits."""
        if CustomerFilter.parameter_name in request.GET or is_narrowed_by(request, self.date_hierarchy):
            return ("-id",)
        return (IS_PENDING.desc(), "-id")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "author", "decided_by")

    def get_fields(self, request: HttpRequest, obj: AdjustmentRequest | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """Return what a request or a file has."""
        of_one = ("customer", "shown_amount", "reason", "reversed_entry", "note", "reference", "balance_then")
        what = ("customer", "shown_amount", "note") if obj is not None and obj.is_file else of_one
        decision = ("because", "decided_by", "decided_at", "decision_note")
        entry = () if obj is not None and obj.is_file else ("posted_entry",)
        return ("id", "outcome", *what, "author", "created_at", *decision, *entry)

    def get_urls(self) -> list[URLPattern]:
        uploading = path("upload/", self.admin_site.admin_view(self.upload), name="ledger_adjustmentrequest_upload")
        return [uploading, *super().get_urls()]

    def upload(self, request: HttpRequest) -> HttpResponse:
        """Ask for the adjustments of a CSV file."""
        return UploadAdjustments.view(request, target=AdjustmentRequest(), site=self.admin_site)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        offered = {"may_upload": request.user.has_perm(UploadAdjustments.permission)}
        return super().changelist_view(request, {**offered, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **named: Any
    ) -> HttpResponse:
        original = context.get("original")
        if isinstance(original, AdjustmentRequest) and original.is_file:
            context["lines"] = original.lines.select_related("user").order_by("number")
        return super().render_change_form(request, context, *args, **named)

    @admin.display(description="customer")
    def customer(self, row: AdjustmentRequest) -> SafeString:
        if row.user is None:
            return format_html("{} ({} lines)", row.file_name, row.line_count)
        return super().customer(row)

    @admin.display(description="amount")
    def shown_amount(self, row: AdjustmentRequest) -> str:
        return f"{shown(row.total)} in all" if row.amount is None else shown_signed(row.amount)

    @admin.display(description="balance then")
    def balance_then(self, row: AdjustmentRequest) -> str:
        return shown(row.balance_before)

    @admin.display(description="state")
    def outcome(self, row: AdjustmentRequest) -> str:
        if row.state == AdjustmentState.APPROVED and row.second_person_because is None:
            return "Posted by one person"
        return AdjustmentState(row.state).label

    @admin.display(description="second person, since")
    def because(self, row: AdjustmentRequest) -> str:
        return because_of(row) or NOTHING

    @admin.display(description="reverses entry")
    def reversed_entry(self, row: AdjustmentRequest) -> SafeString | str:
        return NOTHING if row.reverses_id is None else page_link("ledger_entry", row.reverses_id, row.reverses_id)

    @admin.display(description="entry")
    def posted_entry(self, row: AdjustmentRequest) -> SafeString | str:
        return NOTHING if row.entry_id is None else page_link("ledger_entry", row.entry_id, row.entry_id)
