"""Asking the provider about an open payment."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.utils import timezone

from accounts.admin.customer_action import CustomerAction
from config.backoffice.record import record_change
from config.values.money import shown_money
from ledger.errors import LedgerRefusal
from ledger.models import OPEN_STATES, Payment, PaymentState
from ledger.services.payments.settling import settle_payment


class Settle(CustomerAction[Payment]):
    """Repeating it does nothing more."""

    name = path = "settle"
    permission, needs_view = "ledger.settle_payment", True
    title = button = "Ask the provider"

    @classmethod
    def applies_to(cls, target: Payment) -> bool:
        return target.state in OPEN_STATES

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        payment = self.target
        amount, state = shown_money(payment.amount_minor, payment.currency), payment.get_state_display().lower()
        return (
            f"{payment.user} was to pay {amount}; the payment is {state}. The provider is asked for its outcome. If "
            "it has the money, the credits are given; nothing is charged by asking."
        )

    def do(self, form: Any) -> HttpResponse:  # noqa: ARG002
        before = self.target.state
        try:
            after = settle_payment(payment_id=self.target.pk, now=timezone.now()).state
        except LedgerRefusal as refusal:
            messages.error(self.request, f"Nothing was changed. {refusal}")
            return self.redirect()
        if after == before:
            messages.info(self.request, f"The payment is still {PaymentState(after).label.lower()}.")
            return self.redirect()
        record_change(self.request, [self.target], f"Asked the provider: {before} became {after}.")
        messages.success(self.request, f"The payment is now {PaymentState(after).label.lower()}.")
        return self.redirect()
