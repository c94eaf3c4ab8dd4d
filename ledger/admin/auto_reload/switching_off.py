"""Switching off a customer's auto-reload."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone

from accounts.admin.customer_action import CustomerAction
from config.backoffice.once_form import ReasonForm
from config.backoffice.record import record_change
from ledger.models import AutoReload
from ledger.services.auto_reload.switching import Switched, switch_off_auto_reload


class SwitchOff(CustomerAction[AutoReload]):
    """Applied once for each form: what the customer turns on again stays on, however often the form is sent."""

    name, path = "switch_off", "switch-off"
    permission, needs_view = "ledger.switch_off_auto_reload", True
    title, button = "Switch off auto-reload", "Switch off"
    form_class = ReasonForm

    @classmethod
    def applies_to(cls, target: AutoReload) -> bool:
        return target.enabled

    @classmethod
    def label(cls, target: AutoReload) -> str:  # noqa: ARG003
        return cls.button

    def named(self) -> str:
        return str(self.target.user)

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        reload = self.target
        explained = (
            f"Nothing more is bought for {reload.user} when their credits run low; a payment in progress is "
            "completed. They are notified, and only they can turn it on again."
        )
        return f"{explained}\n\nThey agreed to: {reload.sentence}" if reload.sentence else explained

    def do(self, form: ReasonForm) -> HttpResponse:
        switched = self._switch_off(form)
        if switched.event is None:
            messages.info(self.request, "Auto-reload is off already; nothing was changed.")
        elif switched.is_replay:
            messages.warning(self.request, "This form was sent before; nothing was changed again.")
        else:
            messages.success(self.request, "Auto-reload is off, and the customer is told.")
        return self.redirect()

    @transaction.atomic
    def _switch_off(self, form: ReasonForm) -> Switched:
        """Switch it off, and record in the admin log who did it and why."""
        reload, note = self.target, form.cleaned_data["note"]
        switched = switch_off_auto_reload(
            user_id=reload.pk,
            actor_id=self.actor_id,
            note=note,
            idempotency_key=form.idempotency_key(),
            now=timezone.now(),
        )
        if switched.event is not None and not switched.is_replay:
            record_change(self.request, [reload], f"Switched auto-reload off: {note}")
            record_change(self.request, [reload.user], "Switched auto-reload off.")
        return switched
