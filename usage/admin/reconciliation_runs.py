"""The read-only list of runs of `reconcile`, and what each found."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.backoffice.dates import ByDate
from config.backoffice.filters import ConditionFilter
from config.backoffice.links import page_url
from config.backoffice.read_only import ReadOnlyAdmin
from usage.models import ReconciliationRun

_SAID_ALREADY = ("check", "user_id", "detail")


class FindingsFilter(ConditionFilter):
    title = "findings"
    parameter_name = "found"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {"some": ("With findings", Q(findings__gt=0)), "none": ("Without findings", Q(findings=0))}


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(ByDate, ReadOnlyAdmin):
    list_display = ("finished_at", "found", "kind", "seconds", "started_at")
    list_display_links = ("finished_at",)
    list_filter = (FindingsFilter, "is_full")
    date_hierarchy = "finished_at"
    ordering = ("-finished_at", "-id")
    fields = ("started_at", "finished_at", "kind", "found", "looked_at", "shown_findings")

    @admin.display(description="findings")
    def found(self, run: ReconciliationRun) -> str:
        return "none" if run.findings == 0 else f"{run.findings:,}"

    @admin.display(description="kind")
    def kind(self, run: ReconciliationRun) -> str:
        return "Everybody and everything" if run.is_full else "A part"

    @admin.display(description="seconds")
    def seconds(self, run: ReconciliationRun) -> str:
        return f"{(run.finished_at - run.started_at).total_seconds():.1f}"

    @admin.display(description="looked at")
    def looked_at(self, run: ReconciliationRun) -> str:
        checked = run.report.get("checked", {})
        return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in checked.items()) or "nothing"

    @admin.display(description="first findings")
    def shown_findings(self, run: ReconciliationRun) -> SafeString | str:
        """Show for each finding the broken promise, the customer, the message, and the facts behind it."""
        findings = run.report.get("findings", [])
        if not findings:
            return "none"
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            ((found["check"], _customer(found), found["detail"], _facts(found)) for found in findings),
        )
        return format_html(
            '<div class="tb-scroll"><table class="tb-findings"><thead><tr><th scope="col">Promise</th>'
            '<th scope="col">Customer</th><th scope="col">What was found</th><th scope="col">Facts</th></tr></thead>'
            "<tbody>{}</tbody></table></div>",
            rows,
        )


def _customer(found: dict[str, Any]) -> SafeString | str:
    user_id = found.get("user_id")
    return "–" if user_id is None else format_html('<a href="{}">{}</a>', page_url("accounts_user", user_id), user_id)


def _facts(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items() if name not in _SAID_ALREADY)
