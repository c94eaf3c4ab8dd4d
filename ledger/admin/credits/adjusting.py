"""Adjusting a customer's credits: one entry, or a request that waits for a second person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.utils import timezone
from django.utils.functional import Promise

from accounts.models import User
from config.backoffice.credits import shown, shown_signed
from config.backoffice.staff_action import Lines
from ledger.admin.adjustments.words import Asking
from ledger.admin.ledger_action import LedgerAction
from ledger.forms.adjustments import AdjustmentForm
from ledger.models import AdjustmentReason
from ledger.selectors import balance_of
from ledger.services.adjustments.limits import allowance_of
from ledger.services.adjustments.outcomes import AdjustmentOutcome
from ledger.services.adjustments.requests import request_adjustment


class AdjustCredits(Asking, LedgerAction[AdjustmentOutcome]):
    name, path = "adjust_credits", "adjust-credits"
    permission = "ledger.adjust_credits"
    title = "Adjust credits"
    form_class = AdjustmentForm
    verb = "posted"
    already_used = "This form has already posted another adjustment. To post this one as well, send it again."

    @classmethod
    def may_act_on(cls, viewer: Any, target: User) -> bool:
        """Return whether the viewer may ask for it: on one's own account, too, where a second person has to agree."""
        return bool(viewer.pk == target.pk) or super().may_act_on(viewer, target)

    def figures(self) -> Lines:
        credits = balance_of(user_id=self.target.pk)
        allowance = allowance_of(staff_id=self.actor_id, now=timezone.now())
        return [
            ("Available", shown(credits.available)),
            ("Balance", shown(credits.balance)),
            ("Reserved", shown(credits.reserved)),
            ("Your limit, one adjustment", shown(allowance.single)),
            ("Your limit, left today", shown(allowance.left_today)),
        ]

    def perform(self, asked: dict[str, Any], **once: Any) -> AdjustmentOutcome:
        return request_adjustment(
            amount=asked["amount"],
            reason=AdjustmentReason(asked["reason"]),
            note=asked["note"],
            reference=asked["reference"],
            **once,
        )

    def preview_outcome(self, perform: Callable[[], AdjustmentOutcome]) -> tuple[AdjustmentOutcome, Lines]:
        return self.outcome_with_balances(perform)

    def reasons(self, form: AdjustmentForm) -> list[tuple[str, str | Promise]]:
        reason = AdjustmentReason(form.cleaned_data["reason"])
        return [("Reason", reason.label), *self.texts_of(form)]

    def history(self, done: AdjustmentOutcome) -> list[tuple[Model, str]]:
        request = done.request
        by = f"{shown_signed(request.amount or request.total)} ({request.reason})"
        # Staff who may see people see their history, which therefore has no amounts.
        if done.entry is None:
            return [
                (request, f"Asked to adjust credits by {by}."),
                (self.target, f"Asked to adjust credits: request {request.pk}."),
            ]
        return [
            (done.entry, f"Adjusted credits by {by}: entry {done.entry.pk}."),
            (self.target, f"Adjusted credits: entry {done.entry.pk}."),
        ]
