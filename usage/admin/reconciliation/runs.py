"""The runs of `reconcile`, read-only: what each looked at and found, and starting one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString

from config.backoffice.dates import ByDate
from config.backoffice.filters import ConditionFilter
from config.backoffice.read_only import ReadOnlyAdmin
from usage.admin.reconciliation.groups import groups_of
from usage.admin.reconciliation.starting import StartRun, last_request
from usage.models import ReconciliationRun, RequestedRun


class FindingsFilter(ConditionFilter):
    title = "findings"
    parameter_name = "found"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {"some": ("With findings", Q(findings__gt=0)), "none": ("Without findings", Q(findings=0))}


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(ByDate, ReadOnlyAdmin):
    change_list_template = "admin/usage/reconciliationrun/change_list.html"
    list_display = ("finished_at", "found", "kind", "took", "started_by")
    list_display_links = ("finished_at",)
    list_select_related = ("request__actor",)
    list_filter = (FindingsFilter, "is_full")
    date_hierarchy = "finished_at"
    ordering = ("-finished_at", "-id")
    fields = ("started_at", "finished_at", "took", "started_by", "kind", "looked_at", "found", "shown_findings")

    def get_urls(self) -> list[URLPattern]:
        starting = path("start/", self.admin_site.admin_view(self.start), name="usage_reconciliationrun_start")
        return [starting, *super().get_urls()]

    def start(self, request: HttpRequest) -> HttpResponse:
        """Ask for a run, which a job carries out."""
        return StartRun.view(request, target=ReconciliationRun(), site=self.admin_site)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more: dict[str, Any] = {"may_start": request.user.has_perm(StartRun.permission)}
        if self.has_view_permission(request):
            asked = last_request()
            more |= {"asked": asked, "asked_seconds": asked and asked.seconds(timezone.now())}
        return super().changelist_view(request, {**more, **(extra_context or {})})

    @admin.display(description="findings")
    def found(self, run: ReconciliationRun) -> str:
        return "none" if run.findings == 0 else f"{run.findings:,}"

    @admin.display(description="kind")
    def kind(self, run: ReconciliationRun) -> str:
        return "Everybody and everything" if run.is_full else "A part"

    @admin.display(description="took")
    def took(self, run: ReconciliationRun) -> str:
        return f"{(run.finished_at - run.started_at).total_seconds():,.1f} s"

    @admin.display(description="started by")
    def started_by(self, run: ReconciliationRun) -> str:
        asked: RequestedRun | None = getattr(run, "request", None)
        return "schedule or command line" if asked is None else str(asked.actor)

    @admin.display(description="looked at")
    def looked_at(self, run: ReconciliationRun) -> str:
        checked = run.report.get("checked", {})
        return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in checked.items()) or "nothing"

    @admin.display(description="what was found")
    def shown_findings(self, run: ReconciliationRun) -> SafeString | str:
        """Show the first findings by promise: the customer, the sentence, the facts, and what became of it."""
        groups = groups_of(run)
        if not groups:
            return "nothing"
        return render_to_string(
            "admin/usage/reconciliationrun/findings.html",
            {"groups": groups, "left_out": run.findings - sum(len(group.rows) for group in groups)},
        )
