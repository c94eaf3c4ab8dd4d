"""Findings of reconciliation, read-only: each is a case that staff close with a note."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from config.backoffice.acting import Acting
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import ConditionFilter, CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.read_only import ReadOnlyAdmin
from config.backoffice.times import shown_at
from usage.admin.reconciliation.closing import CloseFinding
from usage.admin.reconciliation.groups import title_of
from usage.models import FindingEvent, ReconciliationFinding

MOST_EVENTS = 50


class StateFilter(ConditionFilter):
    title = "state"
    parameter_name = "state"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {"open": ("Open", Q(closed_at=None)), "closed": ("Closed", Q(closed_at__isnull=False))}


@admin.register(ReconciliationFinding)
class ReconciliationFindingAdmin(Acting, IdSearch, ReadOnlyAdmin):
    staff_actions = (CloseFinding,)
    list_display = ("promise", "customer", "detail", "state", "opened_at", "last_found_at", "times_found")
    list_select_related = ("user",)
    list_filter = (StateFilter, CustomerFilter)
    search_help_text = "The finding's id, or the customer's email: all of it."
    ordering = ("-last_found_at", "-id")
    fields = (
        "promise", "check_name", "subject", "customer", "detail", "figures", "state", "opened_at", "found_at",
        "last_found_at", "run", "times_found", "history",
    )  # fmt: skip

    @admin.display(description="promise")
    def promise(self, finding: ReconciliationFinding) -> str:
        return title_of(finding.check_name)

    @admin.display(description="customer", empty_value="nobody’s alone")
    def customer(self, finding: ReconciliationFinding) -> SafeString | None:
        return None if finding.user_id is None else page_link("accounts_user", finding.user_id, finding.user)

    @admin.display(description="state")
    def state(self, finding: ReconciliationFinding) -> str:
        return "Open" if finding.closed_at is None else f"Closed {shown_at(finding.closed_at)}"

    @admin.display(description="figures of the latest run")
    def figures(self, finding: ReconciliationFinding) -> str:
        return ", ".join(f"{name} {value}" for name, value in finding.facts.items()) or "none"

    @admin.display(description="latest run that found it")
    def run(self, finding: ReconciliationFinding) -> SafeString:
        return page_link("usage_reconciliationrun", finding.last_run_id, finding.last_run)

    @admin.display(description="what became of it")
    def history(self, finding: ReconciliationFinding) -> SafeString:
        """Show who closed it and why, and when it was found again, newest first."""
        events = FindingEvent.objects.filter(finding=finding).select_related("actor").order_by("-id")[:MOST_EVENTS]
        lines = ((shown_at(event.created_at), _said(event)) for event in events)
        return format_html_join("", '<p class="tb-event"><time>{}</time> {}</p>', lines)


def _said(event: FindingEvent) -> str:
    who = "" if event.actor is None else f" by {event.actor}"
    return f"{event.get_kind_display()}{who}: {event.note}"
