"""The back office as a whole: its name, and the log of what staff did and saw."""

from __future__ import annotations

from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from import_export.resources import Resource

from config.backoffice.dates import ByDate, is_narrowed_by
from config.backoffice.exact_search import ExactSearch, customers_with_email
from config.backoffice.exports import Exportable, column
from config.backoffice.filters import ConditionFilter, CustomerFilter, LinkFilter
from config.backoffice.links import page_link
from config.backoffice.read_only import ReadOnlyAdmin
from config.models import CHANGING_KINDS, RecordKind, StaffRecord

admin.site.site_header = "Tollbook back office"
admin.site.site_title = "Tollbook"
admin.site.index_title = "Back office"
admin.site.empty_value_display = "–"

_MOST_STAFF = 50


class StaffFilter(LinkFilter):
    """Records of one member of staff, chosen from a list; of very many staff, by a link or a search."""

    title = "staff"
    parameter_name = "staff"
    field = "user_id"

    def others(self) -> QuerySet[Any]:
        return get_user_model()._default_manager.all()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        staff = self.others().filter(is_staff=True).order_by("email")[:_MOST_STAFF]
        return [(str(each.pk), str(each)) for each in staff]

    def has_output(self) -> bool:
        return True


class AboutCustomerFilter(CustomerFilter):
    """Records about one customer's account."""

    field = "customer_id"


class KindFilter(ConditionFilter):
    title = "what"
    parameter_name = "kind"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {
            "changes": ("All changes", Q(kind__in=CHANGING_KINDS)),
            **{kind.value: (kind.label, Q(kind=kind)) for kind in RecordKind},
        }


class ObjectFilter(admin.SimpleListFilter):
    """Records of one object, set by a link from its history: `ledger.entry:17`."""

    title = "object"
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [] if self.value() is None else [(str(self.value()), str(self.value()))]

    def has_output(self) -> bool:
        return self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        value = self.value()
        if value is None:
            return queryset
        label, _, object_id = value.partition(":")
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError):
            return queryset.none()
        return queryset.filter(content_type=ContentType.objects.get_for_model(model), object_id=object_id)


class StaffRecordExport(Resource):
    id = column("id")
    action_time = column("action_time", "time")
    staff_id = column("user_id", "staff_id")
    staff = column("user__email", "staff")
    roles = column("roles")
    kind = column("kind")
    object_kind = column("content_type__model", "object_kind")
    object_id = column("object_id")
    object_repr = column("object_repr", "object")
    customer_id = column("customer_id")
    customer = column("customer__email", "customer")
    message = column("message", "what")
    details = column("details")
    address = column("address")
    request_id = column("request_id")


@admin.register(StaffRecord)
class StaffRecordAdmin(Exportable, ByDate, ExactSearch, ReadOnlyAdmin):
    """Who of the staff saw and changed what, when, from where, in which role; append-only for everybody."""

    list_display = ("when", "user", "kind", "what", "subject", "about_customer", "roles", "address")
    list_display_links = ("when",)
    list_select_related = ("user", "content_type", "customer")
    list_filter = (StaffFilter, KindFilter, AboutCustomerFilter, ObjectFilter)
    date_hierarchy = "action_time"
    dates_rise_with_ids = True
    is_long = True
    search_fields = ("object_id", "request_id")
    search_help_text = (
        "The email of a member of staff or of a customer, in full; an object's id or a request id, among the latest"
        " 100,000 records, in chosen dates, or behind the email of a member of staff."
    )
    resource_classes = (StaffRecordExport,)
    fields = (
        "when", "user", "roles", "address", "request_id", "kind", "what", "subject", "content_type", "object_id",
        "about_customer", "before_and_after",
    )  # fmt: skip

    class Media:
        css: ClassVar = {"all": ("backoffice/staff_log.css",)}

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-action_time", "-id") if is_narrowed_by(request, self.date_hierarchy) else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[StaffRecord], search_term: str
    ) -> tuple[QuerySet[StaffRecord], bool]:
        """Find by the email of the member of staff or of the customer; the rest as other long lists do."""
        named = customers_with_email(search_term.strip()) if "@" in search_term else []
        if named:
            return queryset.filter(Q(user_id__in=named) | Q(customer_id__in=named)), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="time (UTC)")
    def when(self, record: StaffRecord) -> str:
        return f"{record.action_time:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="what was done")
    def what(self, record: StaffRecord) -> str:
        return record.message

    @admin.display(description="object")
    def subject(self, record: StaffRecord) -> str | SafeString:
        if record.content_type is None or record.object_id is None:
            return record.object_repr
        name = f"{record.content_type.app_label}_{record.content_type.model}"
        try:
            return page_link(name, record.object_id, record.object_repr)
        except NoReverseMatch:  # an object without a page
            return record.object_repr

    @admin.display(description="customer")
    def about_customer(self, record: StaffRecord) -> SafeString | None:
        return None if record.customer is None else page_link("accounts_user", record.customer_id, record.customer)

    @admin.display(description="before and after")
    def before_and_after(self, record: StaffRecord) -> SafeString | None:
        if not record.details:
            return None
        dash = self.admin_site.empty_value_display
        rows = ((name, dash if before is None else before, dash if after is None else after)
                for name, before, after in record.lines())  # fmt: skip
        return format_html(
            '<table class="tb-changes"><thead><tr><th scope="col">Name</th><th scope="col">Before</th>'
            '<th scope="col">After</th></tr></thead><tbody>{}</tbody></table>',
            format_html_join("", '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', rows),
        )
