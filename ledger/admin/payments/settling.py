"""Asking the provider about a payment that is open, or that failed or expired here and may have been paid there."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone

from config.backoffice.credits import shown
from config.backoffice.once_action import Effect
from config.backoffice.record import record_change
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at
from config.values.money import shown_money
from ledger.admin.ledger_action import LedgerOnceAction
from ledger.errors import LedgerRefusal
from ledger.models import OPEN_STATES, Payment, PaymentState
from ledger.providers.turns import turn
from ledger.services.payments.settling import settle_payment


class Settle(LedgerOnceAction[Payment]):
    """The provider is asked after the transaction that records who asks, and why."""

    name = path = "settle"
    permission = "ledger.settle_payment"
    title = "Ask the provider"

    @classmethod
    def applies_to(cls, target: Payment) -> bool:
        return target.state != PaymentState.SUCCEEDED

    @classmethod
    def label(cls, target: Payment) -> str:
        return cls.title if target.state in OPEN_STATES else "Ask the provider again"

    def figures(self) -> Lines:
        payment = self.target
        return [
            ("Amount", shown_money(payment.amount_minor, payment.currency)),
            ("State", payment.get_state_display()),
            ("Last asked", shown_at(payment.asked_at)),
        ]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        payment = self.target
        amount, state = shown_money(payment.amount_minor, payment.currency), payment.get_state_display().lower()
        return (
            f"{payment.user} was to pay {amount}; the payment is {state}. The provider is asked for its outcome. If "
            "it has the money, the credits are given; nothing is charged by asking."
        )

    def apply(self, asked: dict[str, Any]) -> Effect:  # noqa: ARG002
        payment = self.target
        otherwise = "the state that the provider tells" if payment.state in OPEN_STATES else "stays as it is"
        return Effect(
            "Asks the provider",
            [
                ("State now", payment.get_state_display()),
                ("If it was paid", f"succeeded, +{shown(payment.credits)} credits"),
                ("If it was not", otherwise),
            ],
        )

    def do(self, form: Any) -> HttpResponse:
        with turn():  # before anything is written: when there is none, the form can be sent again
            with transaction.atomic():
                effect = self._perform(form)
                if not effect.is_replay:
                    figures = [*effect.lines, *self.reasons(form)]
                    message = f"Asks the provider. Reason: {self.asked['note']}"
                    record_change(self.request, [self.target], message, figures=figures)
            return self._say(effect) if effect.is_replay else self._ask()

    def _ask(self) -> HttpResponse:
        before = self.target.state
        try:
            after = settle_payment(payment_id=self.target.pk, now=timezone.now()).state
        except LedgerRefusal as refusal:
            messages.error(self.request, f"Nothing was changed. {refusal}")
            return self.redirect()
        if after == before:
            messages.info(self.request, f"The payment is still {PaymentState(after).label.lower()}.")
            return self.redirect()
        record_change(
            self.request, [self.target], f"Asked the provider: {before} became {after}.",
            changes=[("State", before, after)],
        )  # fmt: skip
        messages.success(self.request, f"The payment is now {PaymentState(after).label.lower()}.")
        return self.redirect()
