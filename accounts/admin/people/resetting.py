"""Send a person a link to set a new password: support does this instead of setting one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone

from accounts.admin.customer_action import CustomerAction
from accounts.errors import AccountsRefusal
from accounts.models import User
from accounts.services.signing_in.password_reset import request_reset
from config.backoffice.record import record_change


class SendResetLink(CustomerAction[User]):
    """Send the link; only the person receives it."""

    name, path = "send_reset_link", "send-reset-link"
    permission = "accounts.send_password_reset"
    title = button = "Send reset link"

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            f"{self.target} is sent an email with a link that sets a new password. It is good for one use within an "
            "hour. Until it is used nothing changes."
        )

    def do(self, form: Any) -> HttpResponse:  # noqa: ARG002
        try:
            with transaction.atomic():
                request_reset(user_id=self.target.pk, now=timezone.now())
                record_change(self.request, [self.target], "Sent a link to set a new password.")
        except AccountsRefusal as refusal:
            messages.error(self.request, f"Nothing was sent. {refusal}")
        else:
            messages.success(self.request, "The link goes out with the next emails, within minutes.")
        return self.redirect()

    def redirect(self) -> HttpResponse:
        return HttpResponseRedirect(self.back_url())
