"""The price book: a read-only list of versions, and a form for the next one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from import_export.resources import Resource

from config.backoffice.credits import shown
from config.backoffice.dates import ByDate
from config.backoffice.exports import Exportable, column
from config.backoffice.model_admin import BackOfficeAdmin
from config.backoffice.read_only import ReadOnlyAdmin
from config.backoffice.record import actor_id
from usage.admin.price_form import NewPriceForm
from usage.errors import PriceExists
from usage.models import Price
from usage.services.prices import set_price


class PriceExport(Resource):
    id = column("id")
    endpoint = column("endpoint")
    method = column("method")
    kind = column("kind")
    credits = column("credits")
    minimum = column("minimum")
    charge_failures = column("charge_failures")
    effective_from = column("effective_from")
    created_at = column("created_at")
    created_by = column("created_by__email", "created_by")


@admin.register(Price)
class PriceAdmin(Exportable, ByDate, ReadOnlyAdmin):
    """A price is never changed: a new version replaces it from a time on."""

    form = NewPriceForm
    list_display = (
        "endpoint", "method", "shown_credits", "shown_minimum", "charge_failures", "effective_from", "kind",
        "created_by",
    )  # fmt: skip
    list_display_links = ("endpoint",)
    list_select_related = ("created_by",)
    list_filter = ("kind", "charge_failures")
    date_hierarchy = "effective_from"
    search_fields = ("endpoint",)
    search_help_text = "Part of the endpoint."
    resource_classes = (PriceExport,)
    ordering = ("endpoint", "method", "-effective_from")
    fields = (
        "endpoint", "method", "shown_credits", "shown_minimum", "charge_failures", "effective_from", "kind",
        "created_by", "created_at",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return BackOfficeAdmin.has_add_permission(self, request)

    def get_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:  # noqa: ARG002
        return self.fields if obj is not None else NewPriceForm.Meta.fields

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill in the time, so that a form sent twice means one price, not two."""
        return {"effective_from": timezone.now().replace(microsecond=0), **super().get_changeform_initial_data(request)}

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().add_view(request, form_url, extra_context)
        except PriceExists as refusal:  # set by somebody else since the form was checked
            messages.error(request, str(refusal))
            return HttpResponseRedirect(request.path)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Price:  # noqa: ARG002, FBT001
        """Let the service store it."""
        return set_price(**form.cleaned_data, created_by_id=actor_id(request))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001
        """Do nothing: the service has stored it."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """Do nothing: a price has no parts."""

    @admin.display(description="credits a unit")
    def shown_credits(self, price: Price) -> str:
        return shown(price.credits)

    @admin.display(description="at least")
    def shown_minimum(self, price: Price) -> str:
        return shown(price.minimum or None)
