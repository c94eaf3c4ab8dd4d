"""Subscriptions, read-only, with their credits and who changed them; buttons change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.models import Subscription
from accounts.models.plan import LIVE_STATUSES
from config.backoffice.credits import NOTHING, shown
from config.backoffice.dates import ByDate
from config.backoffice.exports import CustomersExport, Exportable, column
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from config.backoffice.staff_action import links_to
from ledger.admin.subscriptions.actions import actions_that_suit, description_of
from ledger.models import SubscriptionChange, SubscriptionPeriod

MOST_SHOWN = 100  # of a subscription's periods and changes; their own lists have all

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[Any, Any]
else:
    TabularInline = admin.TabularInline


def entry_links(row: SubscriptionPeriod | SubscriptionChange) -> str:
    """Return links to the entries of a period or change, those that end first before those that stay longer."""
    entries = [(page_link("ledger_entry", pk, f"#{pk}"),) for pk in (row.entry_id, row.kept_entry_id) if pk is not None]
    return format_html_join(", ", "{}", entries) or NOTHING


class _History(TabularInline):
    """Read-only rows, newest first."""

    extra = 0
    can_delete = False
    ordering = ("-id",)

    def latest(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the newest rows of the shown subscription, at most as many as are shown."""
        match = request.resolver_match
        subscription_id = unquote(str(match.kwargs["object_id"])) if match is not None else None
        newest = self.model._default_manager.filter(subscription_id=subscription_id).order_by("-pk")
        return super().get_queryset(request).filter(pk__in=newest.values("pk")[:MOST_SHOWN])

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    @admin.display(description="credits")
    def brought(self, row: SubscriptionPeriod | SubscriptionChange) -> str:
        return shown(row.credits)

    @admin.display(description="entries")
    def entries(self, row: SubscriptionPeriod | SubscriptionChange) -> str:
        return entry_links(row)


class PeriodHistory(_History):
    model = SubscriptionPeriod
    fields = readonly_fields = ("starts_at", "ends_at", "plan_name", "brought", "entries", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SubscriptionPeriod]:
        return self.latest(request).select_related("plan", "subscription__user")

    @admin.display(description="plan")
    def plan_name(self, period: SubscriptionPeriod) -> str:
        return str(period.plan)


class ChangeHistory(_History):
    model = SubscriptionChange
    fields = readonly_fields = ("created_at", "what", "effective_at", "brought", "entries", "note", "who")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SubscriptionChange]:
        return self.latest(request).select_related("plan", "actor", "subscription__user")

    @admin.display(description="what")
    def what(self, change: SubscriptionChange) -> str:
        return description_of(change)

    @admin.display(description="by")
    def who(self, change: SubscriptionChange) -> str:
        return "a command" if change.actor is None else str(change.actor)


class SubscriptionExport(CustomersExport):
    plan = column("plan__code", "plan")
    status = column("status")
    billing_interval = column("billing_interval")
    credits_per_period = column("credits_per_period")
    started_at = column("started_at")
    current_period_start = column("current_period_start")
    current_period_end = column("current_period_end")
    next_grant_at = column("next_grant_at")
    cancel_at_period_end = column("cancel_at_period_end")
    canceled_at = column("canceled_at")


@admin.register(Subscription)
class SubscriptionAdmin(Exportable, ByDate, OfCustomers, ReadOnlyAdmin):
    """Subscriptions as last settled: a charge, the customer, or `renew_subscriptions` begins a due period."""

    list_display = ("id", "user", "plan", "status", "billing_interval", "credits_a_period", "current_period_end")
    list_select_related = ("user", "plan")
    list_filter = (CustomerFilter, "status", "billing_interval", "plan")
    date_hierarchy = "started_at"
    search_fields = ("user__email",)
    search_help_text = "Part of the customer's email."
    ordering = ("-id",)
    resource_classes = (SubscriptionExport,)
    inlines = (PeriodHistory, ChangeHistory)
    fieldsets = (
        (None, {"fields": ("customer", "plan_now", "status", "billing_interval", "credits_a_period", "rollover")}),
        ("Period", {"fields": ("current_period_start", "current_period_end", "next_grant_at", "anchor_at")}),
        ("From the next period on", {"fields": ("pending_plan_now", "pending_interval", "pending_credits_a_period")}),
        (
            "Course",
            {"fields": ("started_at", "paused_at", "cancel_at_period_end", "canceled_at", "ends_at")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        found: QuerySet[Subscription] = super().get_queryset(request)
        return found.select_related("user", "plan", "pending_plan")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **named: Any
    ) -> HttpResponse:
        subscription = context.get("original")
        if isinstance(subscription, Subscription):
            is_live = subscription.status in LIVE_STATUSES
            context["staff_actions"] = (
                links_to(actions_that_suit(subscription), request.user, subscription.user) if is_live else []
            )
        return super().render_change_form(request, context, *args, **named)

    @admin.display(description="plan")
    def plan_now(self, subscription: Subscription) -> SafeString:
        return page_link("accounts_plan", subscription.plan_id, subscription.plan)

    @admin.display(description="credits per period", ordering="credits_per_period")
    def credits_a_period(self, subscription: Subscription) -> str:
        return shown(subscription.credits_per_period)

    @admin.display(description="most credits that stay")
    def rollover(self, subscription: Subscription) -> str:
        return "all" if subscription.rollover_cap is None else shown(subscription.rollover_cap)

    @admin.display(description="plan")
    def pending_plan_now(self, subscription: Subscription) -> str:
        return NOTHING if subscription.pending_plan is None else str(subscription.pending_plan)

    @admin.display(description="credits per period")
    def pending_credits_a_period(self, subscription: Subscription) -> str:
        return shown(subscription.pending_credits)


@admin.register(SubscriptionChange)
class SubscriptionChangeAdmin(OfCustomers, ReadOnlyAdmin):
    """Who did what to which subscription, when and why; kept for ever."""

    list_display = ("created_at", "customer", "what", "effective_at", "note", "actor")
    list_select_related = ("user", "actor", "plan")
    list_filter = (CustomerFilter, "kind")
    search_fields = ("user__email", "note")
    search_help_text = "Part of the customer's email or of the reason."
    ordering = ("-id",)
    fields = (
        "created_at", "customer", "shown_subscription", "what", "effective_at", "shown_credits", "entries", "note",
        "actor", "idempotency_key",
    )  # fmt: skip

    @admin.display(description="subscription")
    def shown_subscription(self, change: SubscriptionChange) -> SafeString:
        return page_link("accounts_subscription", change.subscription_id, f"#{change.subscription_id}")

    @admin.display(description="what")
    def what(self, change: SubscriptionChange) -> str:
        return description_of(change)

    @admin.display(description="credits")
    def shown_credits(self, change: SubscriptionChange) -> str:
        return shown(change.credits)

    @admin.display(description="entries")
    def entries(self, change: SubscriptionChange) -> str:
        return entry_links(change)
