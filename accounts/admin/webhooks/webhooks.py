"""Webhooks, read-only, with a button that sends a delivery again. Secrets are never shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.admin.access import require_access
from accounts.admin.webhooks.resending import Resend, send_again
from accounts.models import WebhookDelivery, WebhookEndpoint
from accounts.services.webhooks.deliveries import message_name
from config.backoffice.acting import Acting
from config.backoffice.dates import ByDate
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import CustomerFilter, LinkFilter
from config.backoffice.links import list_url, page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin

_SECRETS = ("secret", "old_secret")


class EndpointFilter(LinkFilter):
    """Deliveries to one endpoint."""

    title = "endpoint"
    parameter_name = "endpoint"
    field = "endpoint_id"

    def others(self) -> QuerySet[WebhookEndpoint]:
        return WebhookEndpoint.objects.all()


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ByDate, OfCustomers, ReadOnlyAdmin):
    list_display = ("id", "customer", "url", "is_active", "disabled_reason", "failing_since", "created_at")
    list_filter = (CustomerFilter, "is_active", "disabled_reason")
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    search_fields = ("user__email", "url")
    search_help_text = "Part of the customer's email or of the address."
    ordering = ("-id",)
    fields = (
        "id", "customer", "url", "description", "wanted_types", "is_active", "disabled_at", "disabled_reason",
        "failing_since", "old_secret_until", "created_at", "deleted_at", "deliveries_link",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user").defer(*_SECRETS)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuse look-ups on the secret, which could reveal it character by character."""
        return lookup.partition("__")[0] not in _SECRETS and super().lookup_allowed(lookup, value, request)

    @admin.display(description="types")
    def wanted_types(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.event_types) or "all"

    @admin.display(description="deliveries")
    def deliveries_link(self, endpoint: WebhookEndpoint) -> SafeString:
        address = list_url("accounts_webhookdelivery", endpoint=endpoint.pk)
        return format_html('<a href="{}">Deliveries of the last 30 days</a>', address)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(Acting, ByDate, IdSearch, OfCustomers, ReadOnlyAdmin):
    staff_actions = (Resend,)
    list_display = (
        "id", "customer", "shown_endpoint", "type", "state", "attempts", "last_status", "last_error",
        "next_attempt_at", "created_at",
    )  # fmt: skip
    list_select_related = ("user", "endpoint", "notice")
    list_filter = (CustomerFilter, EndpointFilter, "state")
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    search_help_text = "A delivery's id or the customer's email: all of it."
    ordering = ("-id",)
    actions = ("send_again",)
    fields = (
        "id", "customer", "shown_endpoint", "shown_notice", "message_id", "state", "attempts", "next_attempt_at",
        "created_at", "due_since", "delivered_at", "tried",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        secrets = [f"endpoint__{name}" for name in _SECRETS]
        return super().get_queryset(request).select_related("user", "endpoint", "notice").defer(*secrets)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(Resend.permission)

    @admin.action(description="Send selected deliveries again", permissions=["resend"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        deliveries = list(queryset)
        require_access(request, [delivery.user for delivery in deliveries])
        send_again(request, deliveries)

    @admin.display(description="endpoint")
    def shown_endpoint(self, delivery: WebhookDelivery) -> SafeString:
        return page_link("accounts_webhookendpoint", delivery.endpoint_id, delivery.endpoint)

    @admin.display(description="type")
    def type(self, delivery: WebhookDelivery) -> str:
        return delivery.notice.type

    @admin.display(description="notice")
    def shown_notice(self, delivery: WebhookDelivery) -> SafeString:
        return page_link("accounts_notice", delivery.notice_id, delivery.notice)

    @admin.display(description="webhook-id")
    def message_id(self, delivery: WebhookDelivery) -> str:
        return message_name(delivery.notice.message_id)

    @admin.display(description="attempts so far")
    def tried(self, delivery: WebhookDelivery) -> SafeString:
        lines = (
            (one.at.strftime("%Y-%m-%d %H:%M:%S"), one.status or "–", one.error or "", one.milliseconds, one.answer)
            for one in delivery.log.order_by("-pk")[:100]
        )
        return format_html_join("", "<div>{} {} {} ({} ms) {}</div>", lines)
