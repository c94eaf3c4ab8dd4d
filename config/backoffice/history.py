"""The history of one object: what staff did to it, read by an index, newest first."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.views.main import PAGE_VAR
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from config.backoffice.filters import as_id
from config.backoffice.links import list_url, name_of, page_url
from config.models import CHANGING_KINDS, StaffRecord

_ROWS, _MOST_PAGES = 50, 200
LOG = "config_staffrecord"
MAY_READ_LOG = "config.view_staffrecord"


def records_about(thing: Model) -> Any:
    """Return the records of one object, newest first."""
    kind = ContentType.objects.get_for_model(thing, for_concrete_model=False)
    return StaffRecord.objects.filter(content_type=kind, object_id=str(thing.pk)).order_by("-pk")


def history_page(request: HttpRequest, thing: Model, *, site: AdminSite, more: dict[str, Any]) -> HttpResponse:
    """Show the changes of an object; to readers of the staff log also their values, and who looked at it."""
    may_read_log = request.user.has_perm(MAY_READ_LOG)
    records = records_about(thing).select_related("user")
    if not may_read_log:
        records = records.filter(kind__in=CHANGING_KINDS)
    number = min(as_id(request.GET.get(PAGE_VAR, "")) or 1, _MOST_PAGES)
    shown = list(records[(number - 1) * _ROWS : number * _ROWS + 1])  # one more tells whether there is another page
    context = {
        **site.each_context(request),
        "title": "History",
        "subtitle": str(thing),
        "opts": thing._meta,
        "list_url": list_url(name_of(thing)),
        "object_url": page_url(name_of(thing), thing.pk),
        "records": shown[:_ROWS],
        "newer": number - 1,
        "older": number + 1 if len(shown) > _ROWS and number < _MOST_PAGES else 0,
        "page_var": PAGE_VAR,
        "may_read_log": may_read_log,
        "log_url": list_url(LOG, about=about(thing)) if may_read_log else "",
        **more,
    }
    return TemplateResponse(request, "admin/object_history.html", context)


def about(thing: Model) -> str:
    """Return an object as the staff log's filter names it in its address: `ledger.entry:17`."""
    return f"{thing._meta.label_lower}:{thing.pk}"
