"""Plans. Subscriptions and their credits are in ledger/admin/subscriptions/subscriptions.py."""

from __future__ import annotations

from django.contrib import admin

from accounts.models import Plan
from config.backoffice.credits import shown
from config.backoffice.model_admin import BackOfficeAdmin


@admin.register(Plan)
class PlanAdmin(BackOfficeAdmin):
    list_display = ("code", "name", "credits_a_period", "credits_a_year", "rollover", "is_active")
    list_filter = ("is_active",)
    search_fields = ("code", "name")
    ordering = ("code",)

    @admin.display(description="credits per month", ordering="credits_per_period")
    def credits_a_period(self, plan: Plan) -> str:
        return shown(plan.credits_per_period)

    @admin.display(description="credits per year", ordering="credits_per_year")
    def credits_a_year(self, plan: Plan) -> str:
        return shown(plan.credits_per_year)

    @admin.display(description="most credits that stay", ordering="rollover_cap")
    def rollover(self, plan: Plan) -> str:
        return "all" if plan.rollover_cap is None else shown(plan.rollover_cap)
