"""Customers' auto-reload: read-only, with its history, and a button that switches it off."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.backoffice.acting import Acting
from config.backoffice.credits import NOTHING, shown
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from config.values.money import shown_money
from ledger.admin.auto_reload.switching_off import SwitchOff
from ledger.models import AutoReload, AutoReloadEvent

EVENTS_SHOWN = 100


@admin.register(AutoReload)
class AutoReloadAdmin(Acting, IdSearch, OfCustomers, ReadOnlyAdmin):
    """One row for each customer who has ever set terms; only the customer turns it on."""

    staff_actions = (SwitchOff,)
    list_display = (
        "customer", "enabled", "off_reason", "shown_threshold", "buys", "shown_cap", "declines_in_a_row",
        "next_attempt_at", "updated_at",
    )  # fmt: skip
    list_display_links = ("enabled",)
    list_filter = (CustomerFilter, "enabled", "off_reason")
    search_help_text = "The customer's email or id."
    ordering = ("-user_id",)
    fields = (
        "customer", "enabled", "off_reason", "turned_off_at", "shown_threshold", "buys", "shown_cap", "shown_price",
        "method", "consented_at", "sentence", "declines_in_a_row", "last_attempt_at", "next_attempt_at",
        "cap_reached_in", "created_at", "updated_at", "history",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "method")

    @admin.display(description="below")
    def shown_threshold(self, reload: AutoReload) -> str:
        return NOTHING if reload.threshold is None else shown(reload.threshold)

    @admin.display(description="buys")
    def buys(self, reload: AutoReload) -> str:
        if reload.target is not None:
            return f"up to {shown(reload.target)}"
        return NOTHING if reload.amount is None else shown(reload.amount)

    @admin.display(description="monthly cap")
    def shown_cap(self, reload: AutoReload) -> str:
        return _money(reload.monthly_cap_minor, reload.currency)

    @admin.display(description="price of 1,000 agreed to")
    def shown_price(self, reload: AutoReload) -> str:
        return _money(reload.price_minor, reload.currency)

    @admin.display(description="history")
    def history(self, reload: AutoReload) -> SafeString:
        events = AutoReloadEvent.objects.of(reload.pk).select_related("payment", "actor").newest_first()[:EVENTS_SHOWN]
        return format_html_join("", "<div>{}</div>", ((_line(event),) for event in events)) or SafeString(NOTHING)


def _money(minor: int | None, currency: str | None) -> str:
    return NOTHING if minor is None or currency is None else shown_money(minor, currency)


def _line(event: AutoReloadEvent) -> SafeString:
    """Return one event as text: when, what, by whom and why, or the outcome of its payment."""
    when = event.created_at.strftime("%Y-%m-%d %H:%M:%S")
    if event.payment is not None:
        paid = shown_money(event.payment.amount_minor, event.payment.currency)
        about = page_link("ledger_payment", event.payment_id, f"payment {event.payment_id}")
        state = event.payment.get_state_display().lower()
        return format_html("{} {}: {} for {} ({})", when, about, paid, shown(event.payment.credits), state)
    who = "" if event.actor is None else f" by {event.actor}"
    why = event.note or (event.get_reason_display() if event.reason else event.sentence) or ""
    return format_html("{} {}{}: {}", when, event.get_kind_display(), who, why)
