"""Payments, to be looked at, and a button that asks the provider what became of one."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.admin.touching import demand_touch, may_touch
from accounts.models import Notice
from config.backoffice.credits import NOTHING, shown
from config.backoffice.dates import ByDate
from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import CustomerFilter, as_id
from config.backoffice.links import page_link, page_url
from config.backoffice.read_only import ReadOnlyAdmin
from config.backoffice.record import record_change
from config.values.money import shown_money
from ledger.errors import LedgerRefusal
from ledger.models import OPEN_STATES, DisputeStatus, Payment, PaymentDispute, PaymentState
from ledger.providers.registry import PROVIDERS
from ledger.services.payments.settling import settle_payment
from ledger.services.receipts import RECEIPT_TYPES

MAY_SETTLE = "ledger.settle_payment"


class PaymentStateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("open", "Under way"), *PaymentState.choices, ("disputed", "Disputed"), ("owed", "Owed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment]:  # noqa: ARG002
        match self.value():
            case None:
                return queryset
            case "open":
                return queryset.filter(state__in=OPEN_STATES)
            case "owed":
                return queryset.filter(credits_owed__gt=0)
            case "disputed":
                open_disputes = PaymentDispute.objects.filter(status=DisputeStatus.OPEN)
                return queryset.filter(pk__in=open_disputes.values("payment_id"))
            case state:
                return queryset.filter(state=state)


class ProviderFilter(admin.SimpleListFilter):
    """The providers that there are, rather than those that any payment names: that would read all of them."""

    title = parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(name, name.capitalize()) for name in PROVIDERS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment]:  # noqa: ARG002
        return queryset if self.value() is None else queryset.filter(provider=self.value())


@admin.register(Payment)
class PaymentAdmin(ByDate, ExactSearch, ReadOnlyAdmin):
    list_display = (
        "id", "customer", "shown_amount", "shown_credits", "state", "created_at", "settled_at", "provider_payment_id",
        "failure_code",
    )  # fmt: skip
    list_select_related = ("user",)
    list_filter = (CustomerFilter, PaymentStateFilter, ProviderFilter)
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    search_fields = ("idempotency_key",)
    search_help_text = (
        "A payment's id, or the provider's or our name for it there, or a customer's email: all of it. Idempotency"
        " keys are found among the latest 100,000 payments, in chosen dates, or behind the customer's email."
    )
    ordering = ("-id",)
    fields = (
        "id", "customer", "kind", "package", "shown_amount", "shown_credits", "state", "shown_refunded", "taken_back",
        "shown_owed",
        "shown_entry", "method", "provider", "provider_payment_id", "checkout_id", "provider_key", "paid_with",
        "failure_code", "failure_message", "created_at", "asked_at", "expires_at", "settled_at", "receipt",
        "idempotency_key", "learnt",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "package", "method")

    def get_urls(self) -> list[URLPattern]:
        settle = path(
            "<int:object_id>/settle/", self.admin_site.admin_view(self.settle_view), name="ledger_payment_settle"
        )
        return [settle, *super().get_urls()]

    def found_by_index(self, term: str, customers: Collection[int] | None) -> list[int]:
        named = Q(provider_payment_id=term) | Q(checkout_id=term)
        with suppress(ValueError):  # most terms are no key of ours
            named |= Q(provider_key=uuid.UUID(term))
        return [*super().found_by_index(term, customers), *Payment.objects.filter(named).values_list("pk", flat=True)]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **named: Any
    ) -> HttpResponse:
        payment = context.get("original")
        is_touchable = isinstance(payment, Payment) and may_touch(request.user, payment.user)
        context["may_settle"] = is_touchable and request.user.has_perm(MAY_SETTLE)
        context["open_states"] = OPEN_STATES
        return super().render_change_form(request, context, *args, **named)

    def settle_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Ask before asking: a GET shows the question, a POST does it; done twice, it does nothing more."""
        if not (request.user.has_perm(MAY_SETTLE) and self.has_view_permission(request)):
            raise PermissionDenied
        payment = self.get_queryset(request).filter(pk=as_id(str(object_id))).first()
        if payment is None:
            raise Http404
        demand_touch(request, payment.user)
        if request.method == "POST":
            _settle(request, payment)
            return HttpResponseRedirect(page_url("ledger_payment", payment.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": "Ask the provider",
            "subtitle": str(payment),
            "opts": self.opts,
            "payment": payment,
            "amount": shown_money(payment.amount_minor, payment.currency),
        }
        return TemplateResponse(request, "admin/ledger/payment/settle.html", context)

    @admin.display(description="customer")
    def customer(self, payment: Payment) -> SafeString:
        return page_link("accounts_user", payment.user_id, payment.user)

    @admin.display(description="amount")
    def shown_amount(self, payment: Payment) -> str:
        return shown_money(payment.amount_minor, payment.currency)

    @admin.display(description="credits")
    def shown_credits(self, payment: Payment) -> str:
        return shown(payment.credits)

    @admin.display(description="refunded")
    def shown_refunded(self, payment: Payment) -> str:
        return shown_money(payment.refunded_minor, payment.currency) if payment.refunded_minor else NOTHING

    @admin.display(description="receipt")
    def receipt(self, payment: Payment) -> str:
        told = Notice.objects.of(payment.user_id).filter(type__in=RECEIPT_TYPES, key=str(payment.pk)).first()
        if told is None or told.subject is None:
            return NOTHING
        return "to be sent" if told.emailed_at is None else f"sent {told.emailed_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="credits owed")
    def shown_owed(self, payment: Payment) -> str:
        return shown(payment.credits_owed) if payment.credits_owed else NOTHING

    @admin.display(description="disputes")
    def taken_back(self, payment: Payment) -> str:
        disputes = payment.disputes.order_by("pk")
        said = [f"{shown_money(one.amount_minor, payment.currency)} ({one.status})" for one in disputes]
        return ", ".join(said) or NOTHING

    @admin.display(description="entry")
    def shown_entry(self, payment: Payment) -> str:
        return NOTHING if payment.entry_id is None else page_link("ledger_entry", payment.entry_id, payment.entry_id)

    @admin.display(description="what was learnt")
    def learnt(self, payment: Payment) -> SafeString:
        outcomes = payment.outcomes.order_by("pk")[:100]
        lines = (
            (one.created_at.strftime("%Y-%m-%d %H:%M:%S"), one.outcome, one.source, one.detail) for one in outcomes
        )
        return format_html_join("", "<div>{} {} by {} {}</div>", lines)


def _settle(request: HttpRequest, payment: Payment) -> None:
    """Settle a payment and say what came of it."""
    before = payment.state
    try:
        after = settle_payment(payment_id=payment.pk, now=timezone.now()).state
    except LedgerRefusal as refusal:
        messages.error(request, f"Nothing was changed. {refusal}")
        return
    if after == before:
        messages.info(request, f"The payment is still {PaymentState(after).label.lower()}.")
        return
    record_change(request, [payment], f"Asked the provider: {before} became {after}.")
    messages.success(request, f"The payment is now {PaymentState(after).label.lower()}.")
