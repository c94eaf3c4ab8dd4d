"""Payments, read-only, and the buttons of what staff may do about one."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.models import Notice
from config.backoffice.acting import Acting
from config.backoffice.credits import NOTHING, shown
from config.backoffice.dates import ByDate
from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import ConditionFilter, CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from config.values.money import shown_money
from ledger.admin.payments.receipts import ResendReceipt
from ledger.admin.payments.refunding import RefundPayment
from ledger.admin.payments.settling import Settle
from ledger.models import OPEN_STATES, DisputeStatus, Payment, PaymentDispute, PaymentState
from ledger.providers.registry import PROVIDERS
from ledger.services.receipts import RECEIPT_TYPES


class PaymentStateFilter(ConditionFilter):
    title = "state"
    parameter_name = "state"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        open_disputes = PaymentDispute.objects.filter(status=DisputeStatus.OPEN)
        return {
            "open": ("Under way", Q(state__in=OPEN_STATES)),
            **{state.value: (state.label, Q(state=state)) for state in PaymentState},
            "disputed": ("Disputed", Q(pk__in=open_disputes.values("payment_id"))),
            "owed": ("Owed", Q(credits_owed__gt=0)),
        }


class ProviderFilter(ConditionFilter):
    """The configured providers, rather than those that payments name: that would read every payment."""

    title = parameter_name = "provider"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {name: (name.capitalize(), Q(provider=name)) for name in PROVIDERS}


@admin.register(Payment)
class PaymentAdmin(Acting, ByDate, ExactSearch, OfCustomers, ReadOnlyAdmin):
    staff_actions = (RefundPayment, Settle, ResendReceipt)
    list_display = (
        "id", "customer", "shown_amount", "shown_credits", "state", "created_at", "settled_at", "provider_payment_id",
        "failure_code",
    )  # fmt: skip
    list_filter = (CustomerFilter, PaymentStateFilter, ProviderFilter)
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    search_fields = ("idempotency_key",)
    search_help_text = (
        "A payment's id, its id or our key at the provider, or a customer's email, in full. Idempotency"
        " keys are found among the latest 100,000 payments, in chosen dates, or behind the customer's email."
    )
    ordering = ("-id",)
    fields = (
        "id", "customer", "kind", "package", "shown_amount", "shown_credits", "state", "shown_refunded",
        "refunds_by_staff", "taken_back", "shown_owed",
        "shown_entry", "method", "provider", "provider_payment_id", "checkout_id", "provider_key", "paid_with",
        "failure_code", "failure_message", "created_at", "asked_at", "expires_at", "settled_at", "receipt",
        "idempotency_key", "shown_outcomes",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "package", "method")

    def found_by_index(self, term: str, customers: Collection[int] | None) -> list[int]:
        named = Q(provider_payment_id=term) | Q(checkout_id=term)
        with suppress(ValueError):  # most terms are no key of ours
            named |= Q(provider_key=uuid.UUID(term))
        return [*super().found_by_index(term, customers), *Payment.objects.filter(named).values_list("pk", flat=True)]

    @admin.display(description="amount")
    def shown_amount(self, payment: Payment) -> str:
        return shown_money(payment.amount_minor, payment.currency)

    @admin.display(description="credits")
    def shown_credits(self, payment: Payment) -> str:
        return shown(payment.credits)

    @admin.display(description="refunded")
    def shown_refunded(self, payment: Payment) -> str:
        return shown_money(payment.refunded_minor, payment.currency) if payment.refunded_minor else NOTHING

    @admin.display(description="refunds by staff")
    def refunds_by_staff(self, payment: Payment) -> SafeString | str:
        lines = (
            (page_link("ledger_staffrefund", one.pk, shown_money(one.amount_minor, payment.currency)),
             one.get_state_display().lower(), one.created_at.strftime("%Y-%m-%d %H:%M:%S"), one.actor, one.note)
            for one in payment.staff_refunds.select_related("actor").order_by("pk")[:100]
        )  # fmt: skip
        return format_html_join("", "<div>{} ({}) {} by {}: {}</div>", lines) or NOTHING

    @admin.display(description="receipt")
    def receipt(self, payment: Payment) -> str:
        notice = Notice.objects.of(payment.user_id).filter(type__in=RECEIPT_TYPES, key=str(payment.pk)).first()
        if notice is None or notice.subject is None:
            return NOTHING
        return "to be sent" if notice.emailed_at is None else f"sent {notice.emailed_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="credits owed")
    def shown_owed(self, payment: Payment) -> str:
        return shown(payment.credits_owed) if payment.credits_owed else NOTHING

    @admin.display(description="disputes")
    def taken_back(self, payment: Payment) -> str:
        disputes = payment.disputes.order_by("pk")
        lines = [f"{shown_money(one.amount_minor, payment.currency)} ({one.status})" for one in disputes]
        return ", ".join(lines) or NOTHING

    @admin.display(description="entry")
    def shown_entry(self, payment: Payment) -> str:
        return NOTHING if payment.entry_id is None else page_link("ledger_entry", payment.entry_id, payment.entry_id)

    @admin.display(description="outcomes")
    def shown_outcomes(self, payment: Payment) -> SafeString:
        outcomes = payment.outcomes.order_by("pk")[:100]
        lines = (
            (one.created_at.strftime("%Y-%m-%d %H:%M:%S"), one.outcome, one.source, one.detail) for one in outcomes
        )
        return format_html_join("", "<div>{} {} by {} {}</div>", lines)
