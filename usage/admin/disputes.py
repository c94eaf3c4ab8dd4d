"""Disputes of debits: a queue, and for each its thread beside the explanation of the entry."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from config.backoffice.acting import Acting
from config.backoffice.credits import NOTHING, shown, shown_signed
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.admin.disputes.actions import AnswerDispute, RejectDispute, ResolveDispute
from ledger.models import EntryDispute
from ledger.models.dispute import WAITS_FOR_CUSTOMER, WAITS_FOR_STAFF
from usage.admin.explanations import explained


@admin.register(EntryDispute)
class EntryDisputeAdmin(Acting, IdSearch, OfCustomers, ReadOnlyAdmin):
    """What customers object to: what staff have to answer comes first, the oldest at the top."""

    change_form_template = "admin/ledger/entrydispute/change_form.html"
    staff_actions = (AnswerDispute, ResolveDispute, RejectDispute)
    list_display = ("id", "customer", "state", "age", "reason", "shown_entry", "shown_amount", "returned", "closed_at")
    list_select_related = ("user", "entry")
    list_filter = ("state", "reason", CustomerFilter)
    search_help_text = "A dispute's id or the customer's email, in full."
    fields = (
        "id", "customer", "state", "reason", "shown_entry", "shown_amount", "awaiting", "returned", "reversal_entry",
        "created_at", "closed_at", "closed_by",
    )  # fmt: skip

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        """Order by who has to act, then by age; the disputes of one customer by their index, newest first."""
        if CustomerFilter.parameter_name in request.GET:
            return ("-id",)
        return (WAITS_FOR_STAFF.desc(), WAITS_FOR_CUSTOMER.desc(), "id")

    def get_queryset(self, request: HttpRequest) -> Any:
        return (
            super()
            .get_queryset(request)
            .select_related("user", "entry", "closed_by", "adjustment")
            .defer("fingerprint")
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **named: Any
    ) -> HttpResponse:
        dispute = context.get("original")
        if isinstance(dispute, EntryDispute):
            context["thread"] = list(dispute.messages.select_related("author").order_by("pk"))
            if request.user.has_perm("ledger.view_entry"):
                entry = dispute.entry
                context["explained"] = explained(entry, viewer=request.user, now=timezone.now())
        return super().render_change_form(request, context, *args, **named)

    @admin.display(description="age")
    def age(self, dispute: EntryDispute) -> str:
        """Return how long it has been, or was, open."""
        until = dispute.closed_at or timezone.now()
        return (
            "under a minute"
            if until - dispute.created_at < dt.timedelta(minutes=1)
            else timesince(dispute.created_at, until, depth=1)
        )

    @admin.display(description="debit")
    def shown_entry(self, dispute: EntryDispute) -> SafeString:
        return page_link("ledger_entry", dispute.entry_id, dispute.entry_id)

    @admin.display(description="amount")
    def shown_amount(self, dispute: EntryDispute) -> str:
        return shown_signed(dispute.entry.amount)

    @admin.display(description="returned")
    def returned(self, dispute: EntryDispute) -> str:
        return shown(dispute.credits_returned) if dispute.reversal_id is not None else NOTHING

    @admin.display(description="returned by entry")
    def reversal_entry(self, dispute: EntryDispute) -> SafeString | str:
        pk = dispute.reversal_id
        return NOTHING if pk is None else page_link("ledger_entry", pk, pk)

    @admin.display(description="credits asked for as")
    def awaiting(self, dispute: EntryDispute) -> SafeString | str:
        """Return the request for the credits, which may wait for a second person."""
        request = dispute.adjustment
        if request is None:
            return NOTHING
        named = f"request {request.pk} ({request.get_state_display().lower()})"
        return page_link("ledger_adjustmentrequest", request.pk, named)
