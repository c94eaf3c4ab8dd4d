"""Balances, read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from config.backoffice.credits import shown
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import ConditionFilter, CustomerFilter
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from config.backoffice.staff_action import links_to
from ledger.admin.credits.available import available_credits
from ledger.admin.terms.actions import Freeze, SetOverdraftLimit
from ledger.models import Balance


class BalanceStateFilter(ConditionFilter):
    title = "state"
    parameter_name = "state"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {
            "empty": ("At or below zero", Q(balance__lte=0)),
            "overdrawn": ("Below zero", Q(balance__lt=0)),
            "frozen": ("Frozen", Q(frozen_at__isnull=False)),
        }


@admin.register(Balance)
class BalanceAdmin(IdSearch, OfCustomers, ReadOnlyAdmin):
    """One row for each customer, as of the latest entry; "available" is as of now."""

    list_display = ("customer", "shown_balance", "shown_reserved", "shown_available", "seq", "frozen_at", "updated_at")
    list_display_links = None
    list_filter = (CustomerFilter, BalanceStateFilter)
    search_help_text = "The customer's email or id."
    ordering = ("-user_id",)
    fields = (
        "customer", "shown_balance", "shown_reserved", "shown_available", "shown_granted_total",
        "shown_overdraft_limit", "seq", "frozen_at", "updated_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Balance]:
        balances: QuerySet[Balance] = super().get_queryset(request)
        return balances.select_related("user").annotate(available_now=available_credits())

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **named: Any
    ) -> HttpResponse:
        balance = context.get("original")
        if isinstance(balance, Balance):
            context["staff_actions"] = links_to((Freeze, SetOverdraftLimit), request.user, balance.user)
        return super().render_change_form(request, context, *args, **named)

    @admin.display(description="balance")
    def shown_balance(self, balance: Balance) -> str:
        return shown(balance.balance)

    @admin.display(description="reserved by holds")
    def shown_reserved(self, balance: Balance) -> str:
        """Return what is reserved now: expired holds do not count, settled or not."""
        return shown(balance.balance - balance.available_now)  # type: ignore[attr-defined]

    @admin.display(description="available")
    def shown_available(self, balance: Balance) -> str:
        return shown(balance.available_now)  # type: ignore[attr-defined]

    @admin.display(description="granted in total")
    def shown_granted_total(self, balance: Balance) -> str:
        return shown(balance.granted_total)

    @admin.display(description="overdraft limit")
    def shown_overdraft_limit(self, balance: Balance) -> str:
        return shown(balance.overdraft_limit)
