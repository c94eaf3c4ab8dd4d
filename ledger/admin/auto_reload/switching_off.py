"""Switching off a customer's auto-reload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.utils import timezone

from config.backoffice.once_form import ReasonForm
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at
from ledger.admin.ledger_action import LedgerRowAction
from ledger.errors import AutoReloadIsOff
from ledger.models import AutoReload, OffReason
from ledger.services.auto_reload.switching import Switched, switch_off_auto_reload


class SwitchOff(LedgerRowAction[AutoReload, Switched]):
    """Applied once for each form: what the customer turns on again stays on, however often the form is sent."""

    name, path = "switch_off", "switch-off"
    permission = "ledger.switch_off_auto_reload"
    moves_money = False  # stops money, and must be quick
    is_dangerous = True
    title = "Switch off auto-reload"
    form_class = ReasonForm

    @classmethod
    def applies_to(cls, target: AutoReload) -> bool:
        return target.enabled

    def named(self) -> str:
        return str(self.target.user)

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        reload = self.target
        explained = (
            f"Nothing more is bought for {reload.user} when their credits run low; a payment in progress is "
            "completed. They are notified, and only they can turn it on again."
        )
        return f"{explained}\n\nThey agreed to: {reload.sentence}" if reload.sentence else explained

    def perform(self, asked: dict[str, Any], **once: Any) -> Switched:
        switched = switch_off_auto_reload(note=asked["note"], now=timezone.now(), **once)
        if switched.event is None:
            raise AutoReloadIsOff
        return switched

    def preview_outcome(self, perform: Callable[[], Switched]) -> tuple[Switched, Lines]:
        reload = self.target
        return perform(), [
            ("Auto-reload now", "on" if reload.enabled else "off"),
            ("Auto-reload after", f"off ({OffReason.STAFF.label.lower()})"),
            ("Agreed to", reload.sentence or "–"),
            ("Since", shown_at(reload.consented_at)),
        ]

    def history(self, done: Switched) -> list[tuple[Model, str]]:  # noqa: ARG002
        return [
            (self.target, f"Switched auto-reload off (on → off): {self.asked['note']}"),
            (self.target.user, "Switched auto-reload off."),
        ]

    def summary(self, done: Switched) -> str:  # noqa: ARG002
        return "auto-reload is off"

    def success(self, done: Switched) -> str:  # noqa: ARG002
        return "Auto-reload is off, and the customer is told."
