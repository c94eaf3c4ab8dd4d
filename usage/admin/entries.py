"""The pages of entries, with the explanation of each: `ledger` has the entry, this app the requests behind it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.backoffice.links import list_url, page_url
from ledger.admin.credits.entries import EntryAdmin
from ledger.models import Entry
from usage.admin.explanations import explained


def explanation_url(entry_id: int) -> str:
    return reverse("admin:ledger_entry_explain", args=[entry_id])


@admin.register(Entry)
class ExplainedEntryAdmin(EntryAdmin):
    """Entries, each with a page that shows the chain from its requests to what became of it."""

    list_display: tuple[str, ...] = (*EntryAdmin.list_display, "explain")  # type: ignore[assignment]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.explain_view)
        return [path("<str:object_id>/explain/", view, name="ledger_entry_explain"), *super().get_urls()]

    @admin.display(description="why")
    def explain(self, entry: Entry) -> SafeString:
        return format_html('<a href="{}">Explain</a>', explanation_url(entry.pk))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **named: Any
    ) -> HttpResponse:
        if context.get("original") is not None:
            context["explanation_url"] = explanation_url(context["original"].pk)
        return super().render_change_form(request, context, *args, **named)

    def explain_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the explanation of one entry.

        :raises PermissionDenied: if the viewer may not see entries
        :raises Http404: if there is no such entry
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        entry = self.get_object(request, object_id)
        if entry is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": f"Entry {entry.pk} explained",
            "opts": self.opts,
            "list_url": list_url("ledger_entry"),
            "entry_url": page_url("ledger_entry", entry.pk),
            "explained": explained(entry, viewer=request.user, now=timezone.now()),
        }
        return TemplateResponse(request, "admin/ledger/entry/explain.html", context)
