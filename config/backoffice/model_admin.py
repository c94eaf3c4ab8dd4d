"""The base of every page of the back office."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters, ShowFacets
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from config.backoffice.before_and_after import Changes, changes_of, details_of, values_of
from config.backoffice.credits import CreditsField
from config.backoffice.history import history_page
from config.backoffice.paginator import CappedPaginator
from config.backoffice.record import record_form, record_view
from config.models import RecordKind
from config.values.text import is_invalid_text

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

_READING = ("GET", "HEAD")


def has_invalid_address(request: HttpRequest) -> bool:
    """Return whether the URL's query contains text that the database cannot store."""
    return any(is_invalid_text(value) for values in request.GET.lists() for value in (values[0], *values[1]))


class BackOfficeAdmin(ModelAdmin):
    """Lists that stay fast on long tables, and refusals shown as sentences."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # each count would read the whole table
    list_per_page = 50
    records_views = False  # whether the staff log tells who opened an object's page
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        models.DecimalField: {"form_class": CreditsField, "allow_zero": True}
    }

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow filters by URL except on hashes, which could be found character by character."""
        hashes = {field.name for field in self.opts.get_fields() if isinstance(field, models.BinaryField)}
        if lookup.partition("__")[0] in hashes:
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list; a POST must be an action that this person may use."""
        if request.method not in _READING and request.POST.get("action", "") not in self.get_actions(request):
            raise PermissionDenied
        if has_invalid_address(request):
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
        try:
            return super().changelist_view(request, extra_context)
        except (DataError, IncorrectLookupParameters):  # a URL typed by hand
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show or save one object's form; a conflict with a concurrent save is a sentence, not a 500."""
        try:
            answer = super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError:
            messages.error(request, "Nothing was saved: somebody has just saved something that excludes this.")
            return HttpResponseRedirect(request.get_full_path())
        if self.records_views and request.method == "GET" and isinstance(answer, TemplateResponse):
            original = (answer.context_data or {}).get("original")
            if original is not None:
                record_view(request, original)
        return answer

    # --- The staff log ---

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Return Django's message of a form, with the values before and after."""
        return Changes(super().construct_change_message(request, form, formsets, add), changes_of(form))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        record_form(request, RecordKind.ADD, [obj], _text_of(message), details_of(message))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        record_form(request, RecordKind.CHANGE, [obj], _text_of(message), details_of(message))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        for obj in queryset:
            record_form(request, RecordKind.DELETE, [obj], "Deleted.", values_of(obj))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what staff did to one object, newest first."""
        obj = self.get_object(request, object_id)
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined, no-any-return]
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        return history_page(request, obj, site=self.admin_site, more=extra_context or {})


def _text_of(message: Any) -> str:
    """Return a message as it is stored: Django's list as JSON."""
    return message if isinstance(message, str) else json.dumps(message)
