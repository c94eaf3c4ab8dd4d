"""Sending the receipt of a payment again."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from config.backoffice.once_action import Effect
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at
from config.values.money import shown_money
from ledger.admin.ledger_action import LedgerOnceAction
from ledger.models import Payment, PaymentState
from ledger.services.payments.resending import MOST_A_DAY, resend_receipt


class ResendReceipt(LedgerOnceAction[Payment]):
    name, path = "resend_receipt", "resend-receipt"
    permission = "ledger.resend_receipt"
    title = "Send receipt again"
    verb = "sent"

    @classmethod
    def applies_to(cls, target: Payment) -> bool:
        return target.state == PaymentState.SUCCEEDED

    def figures(self) -> Lines:
        payment, customer = self.target, self.target.user
        return [
            ("Paid", shown_money(payment.amount_minor, payment.currency)),
            ("When", shown_at(payment.settled_at)),
            ("Address", customer.email),
            ("Verified", shown_at(customer.email_verified_at)),
        ]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            "The same receipt goes out once more with the next emails, to the customer's address if it is verified: at "
            f"most {MOST_A_DAY} a day for one customer. No webhook is sent."
        )

    def apply(self, asked: dict[str, Any]) -> Effect:  # noqa: ARG002
        address = resend_receipt(payment_id=self.target.pk, now=timezone.now())
        return Effect("Sent the receipt again", [("To", address), ("Payment", str(self.target.pk))])

    def success(self, done: Effect) -> str:  # noqa: ARG002
        return "The receipt goes out with the next emails, within minutes."
