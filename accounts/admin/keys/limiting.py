"""The limits of one API key: a form that reports the limits before and after the change."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse

from accounts.admin.access import may_act_on_key
from accounts.errors import ApiKeyRefused
from accounts.forms import KeyLimitsForm
from accounts.models import ApiKey
from accounts.services.keys.limits import KeyLimits, change_limits, limits_of
from config.backoffice.credits import shown
from config.backoffice.record import record_change
from config.backoffice.staff_action import StaffAction


class ChangeLimits(StaffAction[ApiKey]):
    """Replace a key's limits. Submitting the form twice changes nothing more."""

    name = path = "limits"
    permission = "accounts.change_apikey"
    moves_money = True
    title, button = "Change limits", "Save limits"
    form_class = KeyLimitsForm

    @classmethod
    def may_act_on(cls, viewer: Any, target: ApiKey) -> bool:
        return may_act_on_key(viewer, target)

    @classmethod
    def applies_to(cls, target: ApiKey) -> bool:
        return target.revoked_at is None

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return f"Key “{self.target.name}” of {self.target.user or 'a service'}."

    def initial(self) -> dict[str, Any]:
        return asdict(limits_of(self.target))

    def form_options(self) -> dict[str, Any]:
        return {"of_service": self.target.user_id is None}

    def do(self, form: KeyLimitsForm) -> HttpResponse:
        try:
            self._change(KeyLimits(**form.cleaned_data))
        except ApiKeyRefused as refusal:
            for field, sentences in refusal.errors.items():
                form.add_error(field, sentences)
            return self.page(form)
        return self.redirect()

    @transaction.atomic
    def _change(self, limits: KeyLimits) -> None:
        """Change the limits and record the former ones in the staff log."""
        changed, before = change_limits(key_id=self.target.pk, limits=limits)
        if before == limits:
            messages.info(self.request, "Nothing was changed: these were the key's limits already.")
            return
        changes = _differences(before, limits)
        message = f"Changed limits: {'; '.join(f'{name} {was} → {now}' for name, was, now in changes)}."
        record_change(self.request, [changed], message, changes=changes)
        messages.success(self.request, message)


def _differences(before: KeyLimits, after: KeyLimits) -> list[tuple[str, str, str]]:
    """Return name, former and new value of each limit that changed."""
    was, now = asdict(before), asdict(after)
    return [
        (str(KeyLimitsForm.base_fields[name].label), _limit_text(was[name]), _limit_text(now[name]))
        for name in was
        if was[name] != now[name]
    ]


def _limit_text(limit: Decimal | int | None) -> str:
    return "none" if limit is None else shown(Decimal(limit))
