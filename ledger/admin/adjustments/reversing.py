"""Reversing an entry, in part or wholly: a new entry that names it, or a request that waits for a second person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.utils.functional import Promise

from config.backoffice.credits import shown, shown_signed
from config.backoffice.staff_action import Lines
from ledger.admin.adjustments.words import Asking
from ledger.admin.ledger_action import LedgerRowAction
from ledger.forms.adjustments import ReversalForm
from ledger.models import AdjustmentReason, Entry, EntryReason
from ledger.selectors import balance_of, left_to_reverse
from ledger.services.adjustments.outcomes import AdjustmentOutcome
from ledger.services.adjustments.requests import request_adjustment


class ReverseEntry(Asking, LedgerRowAction[Entry, AdjustmentOutcome]):
    """Reverse this entry. What cannot be reversed is refused with what to do instead."""

    name, path = "reverse", "reverse"
    permission = "ledger.reverse_entry"
    title = "Reverse entry"
    form_class = ReversalForm
    verb = "posted"

    @classmethod
    def applies_to(cls, target: Entry) -> bool:
        return target.reverses_id is None and target.reason != EntryReason.EXPIRY

    def named(self) -> str:
        return f"entry {self.target.pk}"

    def figures(self) -> Lines:
        return [
            ("Customer", str(self.target.user)),
            ("Entry", shown_signed(self.target.amount)),
            ("Left to reverse", shown(left_to_reverse(self.target))),
            ("Available", shown(balance_of(user_id=self.target.user_id).available)),
        ]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        if self.target.amount > 0:
            return "Credits that this entry gave are taken back: first what is left of them, then others."
        if self.target.operation in ("charge", "capture_hold"):
            return "Credits go back to the grants that they came from, and the statistics of the request are lowered."
        if self.target.reason == EntryReason.USAGE:
            return (
                "This debit paid for several requests at once. Credits go back to the grants that they came from; the "
                "statistics stay, since no single request is meant."
            )
        return "Credits that this entry took are given back, to the grants that they came from."

    def initial(self) -> dict[str, Any]:
        return {"credits": left_to_reverse(self.target)}

    def perform(self, asked: dict[str, Any], **once: Any) -> AdjustmentOutcome:
        credits = asked["credits"]
        return request_adjustment(
            amount=credits if self.target.amount < 0 else -credits,
            reason=AdjustmentReason.CORRECTION,
            note=asked["note"],
            reference=asked["reference"],
            reverses=self.target.pk,
            **once,
        )

    def preview_outcome(self, perform: Callable[[], AdjustmentOutcome]) -> tuple[AdjustmentOutcome, Lines]:
        return self.outcome_with_balances(perform)

    def reasons(self, form: ReversalForm) -> list[tuple[str, str | Promise]]:
        return self.texts_of(form)

    def history(self, done: AdjustmentOutcome) -> list[tuple[Model, str]]:
        change = shown_signed(done.request.amount or done.request.total)
        if done.entry is None:
            return [(self.target, f"Asked to reverse it by {change}: request {done.request.pk}.")]
        return [(self.target, f"Reversed by {change}: entry {done.entry.pk}.")]
