"""Refunding a payment through its provider, wholly or in part: the money, and the credits with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpResponse
from django.utils import timezone
from django.utils.functional import cached_property

from config.backoffice.credits import shown
from config.backoffice.record import record_change
from config.backoffice.staff_action import Lines
from config.values.money import in_major_units, shown_money
from ledger.admin.ledger_action import LedgerRowAction
from ledger.errors import LedgerRefusal
from ledger.forms.payments import RefundForm
from ledger.models import AutoReload, Payment, PaymentKind, PaymentState, RefundState, StaffRefund
from ledger.providers.turns import turn
from ledger.selectors import balance_of
from ledger.services.grants import settle_grants
from ledger.services.payments.refunds import BegunRefund, begin_refund, carry_out_refund, refundable_minor
from ledger.services.payments.reversals import note_single_refund


class RefundPayment(LedgerRowAction[Payment, BegunRefund]):
    """The provider is asked after the transaction that records the refund, so that a crash in between loses nothing.

    The preview records the refund and takes back its credits as its answer would, and rolls all of it back.
    """

    name = path = "refund"
    permission = "ledger.refund_payment"
    title = "Refund payment"
    form_class = RefundForm
    verb = "refunded"

    @classmethod
    def applies_to(cls, target: Payment) -> bool:
        return target.state == PaymentState.SUCCEEDED and target.refunded_minor < target.amount_minor

    def figures(self) -> Lines:
        payment = self.target
        return [
            ("Paid", self._money(payment.amount_minor)),
            ("Refunded", self._money(payment.refunded_minor)),
            ("Left to refund", self._money(self.left)),
            ("Credits", shown(payment.credits)),
            ("Available", shown(balance_of(user_id=payment.user_id).available)),
        ]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            f"{self.target.user} gets the money back by the way they paid, from {self.target.provider}. The same part "
            "of the credits is taken back at once, as far as it is there; what was spent is owed, and taken from "
            "whatever comes in. A refund cannot be undone."
        )

    def initial(self) -> dict[str, Any]:
        return {"amount": f"{in_major_units(self.left, self.target.currency):f}"}

    def form_options(self) -> dict[str, Any]:
        return {"currency": self.target.currency, "left_minor": self.left}

    def take(self) -> HttpResponse:
        settle_grants(user_id=self.target.user_id)  # a long history is settled first, so that the preview is exact
        return super().take()

    def perform(self, asked: dict[str, Any], **once: Any) -> BegunRefund:
        return begin_refund(
            payment_id=self.target.pk, amount_minor=asked["amount"], note=asked["note"], now=timezone.now(), **once
        )

    def preview_outcome(self, perform: Callable[[], BegunRefund]) -> tuple[BegunRefund, Lines]:
        begun = perform()
        before = balance_of(user_id=self.target.user_id)
        is_reloading = _is_reloading(self.target)
        minor = begun.refund.amount_minor
        note_single_refund(
            payment_id=self.target.pk, provider_refund_id=f"preview of {begun.refund.pk}", amount_minor=minor,
            has_failed=False, refunded_minor=self.target.refunded_minor + minor, now=timezone.now(),
        )  # fmt: skip
        after, payment = balance_of(user_id=self.target.user_id), Payment.objects.get(pk=self.target.pk)
        lines = [
            ("Money back", self._money(minor)),
            ("Refunded after", f"{self._money(payment.refunded_minor)} of {self._money(payment.amount_minor)}"),
            ("Credits taken back", shown(before.balance - after.balance)),
            ("Credits owed after", shown(payment.credits_owed)),
            ("Available now", shown(before.available)),
            ("Available after", shown(after.available)),
        ]
        return begun, [*lines, ("Auto-reload", "is turned off")] if is_reloading else lines

    def do(self, form: Any) -> HttpResponse:
        with turn():  # before anything is written: when there is none, the form can be sent again
            with transaction.atomic():
                begun = self._perform(form)
                if not begun.is_replay:
                    figures = [("Amount", self._money(begun.refund.amount_minor)), *self.reasons(form)]
                    for thing, message in self.history(begun):
                        record_change(self.request, [thing], message, figures=figures)
            return self._say(begun) if begun.is_replay else self._carry_out(begun.refund)

    def _carry_out(self, begun: StaffRefund) -> HttpResponse:
        before = Payment.objects.get(pk=self.target.pk)
        try:
            refund = carry_out_refund(refund_id=begun.pk, now=timezone.now())
        except LedgerRefusal as refusal:
            messages.error(self.request, f"The refund is under way, and nothing was settled yet. {refusal}")
            return self.redirect()
        after = Payment.objects.get(pk=self.target.pk)
        if refund.state == RefundState.MADE:
            changed = f"refunded {self._money(before.refunded_minor)} → {self._money(after.refunded_minor)}"
            record_change(
                self.request, [after], f"Refund {refund.pk} was made: {changed}.",
                changes=[
                    ("Refunded", self._money(before.refunded_minor), self._money(after.refunded_minor)),
                    ("Credits owed", shown(before.credits_owed), shown(after.credits_owed)),
                ],
            )  # fmt: skip
            owed = (
                f" {shown(after.credits_owed)} credits were spent before: they are owed." if after.credits_owed else ""
            )
            messages.success(self.request, f"{self._money(refund.amount_minor)} were refunded.{owed}")
        elif refund.state == RefundState.REFUSED:
            record_change(self.request, [after], f"Refund {refund.pk} was refused: {refund.failure_message}")
            messages.error(
                self.request,
                f"Nothing was refunded, and no credits were taken back. The provider refused: {refund.failure_message}",
            )
        else:
            messages.warning(
                self.request,
                "The provider does not answer. The refund is recorded and asked for again every few minutes, under "
                "the same key, so that it is made once; the credits follow then. Do not refund it in another way.",
            )
        return self.redirect()

    def history(self, done: BegunRefund) -> list[tuple[Model, str]]:
        refund, asked = done.refund, self._money(done.refund.amount_minor)
        return [
            (self.target, f"Asks {self.target.provider} for refund {refund.pk} of {asked}. Reason: {refund.note}"),
            # Staff who may see people see their history, which therefore has no amounts and reasons.
            (self.target.user, f"Asked for refund {refund.pk} of payment {self.target.pk}."),
        ]

    def summary(self, done: BegunRefund) -> str:
        refund = done.refund
        return f"refund {refund.pk} of {self._money(refund.amount_minor)}, {refund.get_state_display().lower()}"

    @cached_property
    def left(self) -> int:
        return refundable_minor(self.target)

    def _money(self, minor: int) -> str:
        return shown_money(minor, self.target.currency)


def _is_reloading(payment: Payment) -> bool:
    return (
        payment.kind == PaymentKind.AUTO_RELOAD and AutoReload.objects.filter(pk=payment.user_id, enabled=True).exists()
    )
