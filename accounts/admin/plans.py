"""Plans, and who is on them."""

from __future__ import annotations

from django.contrib import admin
from import_export.resources import Resource

from accounts.forms import SubscriptionForm
from accounts.models import Plan, Subscription
from config.backoffice.credits import shown
from config.backoffice.dates import ByDate
from config.backoffice.exports import Exportable, column
from config.backoffice.filters import CustomerFilter
from config.backoffice.model_admin import BackOfficeAdmin


@admin.register(Plan)
class PlanAdmin(BackOfficeAdmin):
    list_display = ("code", "name", "credits_a_period", "is_active")
    list_filter = ("is_active",)
    search_fields = ("code", "name")
    ordering = ("code",)

    @admin.display(description="credits per period", ordering="credits_per_period")
    def credits_a_period(self, plan: Plan) -> str:
        return shown(plan.credits_per_period)


class SubscriptionExport(Resource):
    id = column("id")
    customer_id = column("user_id", "customer_id")
    customer = column("user__email", "customer")
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
class SubscriptionAdmin(Exportable, ByDate, BackOfficeAdmin):
    form = SubscriptionForm
    list_display = ("id", "user", "plan", "status", "billing_interval", "credits_a_period", "current_period_end")
    list_select_related = ("user", "plan")
    list_filter = (CustomerFilter, "status", "billing_interval", "plan")
    date_hierarchy = "started_at"
    search_fields = ("user__email",)
    search_help_text = "Part of the customer's email."
    ordering = ("-id",)
    resource_classes = (SubscriptionExport,)
    autocomplete_fields = ("user",)
    fieldsets = (
        (None, {"fields": ("user", "plan", "status", "billing_interval", "credits_per_period")}),
        ("Period", {"fields": ("current_period_start", "current_period_end", "next_grant_at")}),
        ("Course", {"fields": ("started_at", "cancel_at_period_end", "canceled_at")}),
    )

    @admin.display(description="credits per period", ordering="credits_per_period")
    def credits_a_period(self, subscription: Subscription) -> str:
        return shown(subscription.credits_per_period)
