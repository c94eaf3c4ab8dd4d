"""Adjusting a customer's credits: one entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.utils.functional import Promise
from django.utils.html import format_html

from config.backoffice.credits import shown, shown_signed
from config.backoffice.links import page_link
from config.backoffice.staff_action import Lines
from ledger.admin.ledger_action import LedgerAction
from ledger.forms.adjustments import AdjustmentForm
from ledger.models import AdjustmentReason
from ledger.selectors import balance_of
from ledger.services.adjustments.posting import adjust_credits
from ledger.services.entries import Posted


class AdjustCredits(LedgerAction[Posted]):
    name, path = "adjust_credits", "adjust-credits"
    permission = "ledger.adjust_credits"
    title = "Adjust credits"
    form_class = AdjustmentForm
    verb = "posted"
    already_used = "This form has already posted another adjustment. To post this one as well, send it again."

    def figures(self) -> Lines:
        credits = balance_of(user_id=self.target.pk)
        return [
            ("Available", shown(credits.available)),
            ("Balance", shown(credits.balance)),
            ("Reserved", shown(credits.reserved)),
        ]

    def perform(self, asked: dict[str, Any], **once: Any) -> Posted:
        reason = AdjustmentReason(asked["reason"])
        return adjust_credits(amount=asked["amount"], reason=reason, note=asked["note"], **once)

    def preview_outcome(self, perform: Callable[[], Posted]) -> tuple[Posted, Lines]:
        posted = perform()
        change, after = posted.entry.amount, balance_of(user_id=self.target.pk)
        return posted, [
            ("Balance now", shown(after.balance - change)),
            ("Change", shown_signed(change)),
            ("Balance after", shown(after.balance)),
            ("Available after", shown(after.available)),
        ]

    def reasons(self, form: AdjustmentForm) -> list[tuple[str, str | Promise]]:
        reason = AdjustmentReason(form.cleaned_data["reason"])
        return [("Reason", reason.label), ("Note", form["note"].value())]

    def history(self, done: Posted) -> list[tuple[Model, str]]:
        entry = done.entry
        return [
            (entry, f"Adjusted credits by {shown_signed(entry.amount)} ({entry.reason}): entry {entry.pk}."),
            # Staff who may see people see their history, which therefore has no amounts.
            (self.target, f"Adjusted credits: entry {entry.pk}."),
        ]

    def summary(self, done: Posted) -> str:
        entry = done.entry
        named: Any = f"entry {entry.pk}"
        if self.request.user.has_perm("ledger.view_entry"):
            named = page_link("ledger_entry", entry.pk, named)
        balance_after = shown(entry.balance_after)
        return format_html("{} ({} credits, balance after it {})", named, shown_signed(entry.amount), balance_after)

    def success(self, done: Posted) -> str:
        return format_html("Credits adjusted: {}.", self.summary(done))

    def repetition(self, done: Posted) -> str:
        return format_html("This form was already posted as {}; nothing was posted again.", self.summary(done))
