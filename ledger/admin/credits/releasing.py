"""Releasing a customer's open hold, by staff."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import Model
from django.utils import timezone

from config.backoffice.credits import shown
from config.backoffice.once_form import ReasonForm
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at
from ledger.admin.ledger_action import LedgerRowAction
from ledger.models import Hold, HoldStatus
from ledger.selectors import balance_of
from ledger.services.holds import HoldChange, release_hold


class ReleaseHold(LedgerRowAction[Hold, HoldChange]):
    name = path = "release"
    permission = "ledger.release_hold"
    title = "Release hold"
    form_class = ReasonForm
    verb = "released"

    @classmethod
    def applies_to(cls, target: Hold) -> bool:
        return target.status == HoldStatus.OPEN and target.expires_at > timezone.now()

    def figures(self) -> Lines:
        hold, credits = self.target, balance_of(user_id=self.target.user_id)
        return [
            ("Still held", shown(_left(hold))),
            ("Expires", shown_at(hold.expires_at)),
            ("Available", shown(credits.available)),
            ("Reserved", shown(credits.reserved)),
        ]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            f"What this hold of {self.target.user} still holds can be spent again. The program that opened it can no "
            "longer capture it: if its work is still going on, it will not be paid for."
        )

    def perform(self, asked: dict[str, Any], **once: Any) -> HoldChange:  # noqa: ARG002
        return release_hold(hold_id=self.target.pk, user_id=once["user_id"], idempotency_key=once["idempotency_key"])

    def preview_outcome(self, perform: Callable[[], HoldChange]) -> tuple[HoldChange, Lines]:
        before = balance_of(user_id=self.target.user_id)
        released = perform()
        after = balance_of(user_id=self.target.user_id)
        return released, [
            ("Given back", shown(_left(released.hold))),
            ("Reserved now", shown(before.reserved)),
            ("Reserved after", shown(after.reserved)),
            ("Available now", shown(before.available)),
            ("Available after", shown(after.available)),
        ]

    def history(self, done: HoldChange) -> list[tuple[Model, str]]:
        given_back = shown(_left(done.hold))
        return [
            (self.target, f"Released hold (open → released; {given_back} credits given back): {self.asked['note']}"),
            # Staff who may see people see their history, which therefore has no amounts and reasons.
            (self.target.user, f"Released hold {self.target.pk}."),
        ]

    def summary(self, done: HoldChange) -> str:
        return f"hold {done.hold.pk}, {shown(_left(done.hold))} credits given back"

    def success(self, done: HoldChange) -> str:
        return f"Released {self.summary(done)}."


def _left(hold: Hold) -> Decimal:
    return hold.credits - hold.captured
