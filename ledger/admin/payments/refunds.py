"""Refunds by staff, read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from config.backoffice.credits import NOTHING
from config.backoffice.dates import ByDate
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from config.values.money import shown_money
from ledger.models import PaymentRefund, StaffRefund


@admin.register(StaffRefund)
class StaffRefundAdmin(ByDate, IdSearch, OfCustomers, ReadOnlyAdmin):
    """Who refunded which payment, when and why, and what came of it; kept for ever."""

    list_display = ("id", "customer", "shown_payment", "shown_amount", "state", "actor", "created_at", "settled_at")
    list_select_related = ("user", "payment", "actor")
    list_filter = (CustomerFilter, "state")
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    search_help_text = "A refund's id or the customer's email, in full."
    ordering = ("-id",)
    fields = (
        "id", "customer", "shown_payment", "shown_amount", "state", "failed_later", "failure_code", "failure_message",
        "note", "actor", "created_at", "asked_at", "settled_at", "provider_refund_id", "provider_key",
        "idempotency_key",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "payment", "actor")

    @admin.display(description="payment")
    def shown_payment(self, refund: StaffRefund) -> SafeString:
        return page_link("ledger_payment", refund.payment_id, refund.payment_id)

    @admin.display(description="amount")
    def shown_amount(self, refund: StaffRefund) -> str:
        return shown_money(refund.amount_minor, refund.payment.currency)

    @admin.display(description="failed later")
    def failed_later(self, refund: StaffRefund) -> str:
        """Return whether the money did not arrive, of which the provider tells days later."""
        rows = PaymentRefund.objects.filter(payment_id=refund.payment_id, provider_refund_id=refund.provider_refund_id)
        has_failed = rows.filter(has_failed=True).exists()
        return "yes: the credits are the customer's again" if has_failed else NOTHING
