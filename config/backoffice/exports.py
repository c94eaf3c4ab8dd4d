"""Exports of lists as files for spreadsheets: with their own permission, a limit, and a line in the staff log."""

from __future__ import annotations

import tempfile
import threading
from typing import IO, TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from import_export.admin import ExportMixin
from import_export.fields import Field
from import_export.resources import Resource
from import_export.widgets import Widget

from config.backoffice.export_files import write_csv, write_xlsx
from config.backoffice.links import list_url, name_of
from config.backoffice.model_admin import ModelAdmin, has_invalid_address
from config.backoffice.record import record_export

MOST_ROWS = {"xlsx": 20_000, "csv": 50_000}  # some five seconds in either format
_IN_MEMORY_BYTES = 1024 * 1024
_FORMATS = {
    "xlsx": ("Excel (.xlsx)", write_xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "csv": ("CSV", write_csv, "text/csv; charset=utf-8"),
}

_RETRY_AFTER_SECONDS = 5

# A quarter of the threads may write files at a time: the others stay free for other calls.
turns = threading.BoundedSemaphore(max(1, settings.SERVER_THREADS // 4))

if TYPE_CHECKING:

    class _ExportMixin(admin.ModelAdmin[Any]):
        def get_export_queryset(self, request: HttpRequest) -> QuerySet[Any]: ...

        def get_export_resource_classes(self, request: HttpRequest) -> list[type[Resource]]: ...

else:
    _ExportMixin = ExportMixin


class _AsItIs(Widget):
    """Keep a value's type: the writers of files handle each type."""

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002
        return value


def column(attribute: str, name: str | None = None) -> Any:
    """Return a column of an export: the value of `attribute`, under `name`."""
    return Field(attribute=attribute, column_name=name or attribute, widget=_AsItIs())


class CustomersExport(Resource):
    """An export of customers' rows: it begins with the row's id and its customer."""

    id = column("id")
    customer_id = column("user_id", "customer_id")
    customer = column("user__email", "customer")


class ExportForm(forms.Form):
    format = forms.ChoiceField(
        choices=[(name, title) for name, (title, *_) in _FORMATS.items()],
        initial="xlsx",
        widget=forms.RadioSelect,
        error_messages={"required": "Choose a format.", "invalid_choice": "There is no such format."},
    )

    def __init__(self, *args: Any, rows: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.rows = rows

    def clean_format(self) -> str:
        name: str = self.cleaned_data["format"]
        if self.rows > MOST_ROWS[name]:
            raise forms.ValidationError(
                f"Such a file takes at most {MOST_ROWS[name]:,} rows: narrow the list, or choose another format."
            )
        return name


class Exportable(_ExportMixin, ModelAdmin):
    """A list with an export page that keeps the search and filters, for staff who may view and export it."""

    import_export_change_list_template = None  # templates/admin/change_list.html has the button

    def has_export_permission(self, request: HttpRequest) -> bool:
        opts = self.opts
        return self.has_view_permission(request) and request.user.has_perm(f"{opts.app_label}.export_{opts.model_name}")

    def export_action(self, request: HttpRequest) -> HttpResponseBase:
        """Show the number of rows and the formats; return the file on POST."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        if has_invalid_address(request):
            return self._back_to_list()
        try:
            listed = self.get_export_queryset(request)
            rows = listed.order_by().values("pk")[: max(MOST_ROWS.values()) + 1].count()
        except (DataError, IncorrectLookupParameters):  # a URL typed by hand
            return self._back_to_list()
        form = ExportForm(request.POST if request.method == "POST" else None, rows=rows)
        if not form.is_valid():
            return self._page(request, form, rows)
        if not turns.acquire(blocking=False):
            form.add_error("format", "Another export is being written just now. Try again in a moment.")
            busy = self._page(request, form, rows)
            busy.status_code = 429
            busy.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
            return busy
        try:
            return self._file(request, listed, form.cleaned_data["format"])
        finally:
            turns.release()

    def _back_to_list(self) -> HttpResponse:
        return HttpResponseRedirect(f"{list_url(name_of(self.model))}?{ERROR_FLAG}=1")

    def _page(self, request: HttpRequest, form: ExportForm, rows: int) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"Export {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "form": form,
            "rows": rows,
            "most_rows": f"{max(MOST_ROWS.values()):,}",
            "is_too_long": rows > max(MOST_ROWS.values()),
            "columns": self.get_export_resource_classes(request)[0]().get_export_headers(),
            "list_url": f"{list_url(name_of(self.model))}?{request.GET.urlencode()}",
        }
        return TemplateResponse(request, "admin/export.html", context)

    def _file(self, request: HttpRequest, listed: QuerySet[Any], name: str) -> HttpResponseBase:
        """Write the whole file before the response begins: a failure is an error, not half a file."""
        resource = self.get_export_resource_classes(request)[0]()
        _, write, content_type = _FORMATS[name]
        file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115
        columns = resource.get_export_fields()
        exported = (
            [column.export(row) for column in columns] for row in resource.iter_queryset(listed[: MOST_ROWS[name]])
        )
        rows = write(file, resource.get_export_headers(), exported)
        file.seek(0)
        record_export(request, self.model, rows=rows, file_format=name)
        filename = f"tollbook-{self.opts.verbose_name_plural}-{timezone.now():%Y-%m-%d}.{name}".replace(" ", "-")
        return FileResponse(file, as_attachment=True, filename=filename, content_type=content_type)
