"""Send a person a link to set a new password: support does this instead of setting one."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from accounts.admin.accounts_action import AccountsAction
from accounts.admin.customer_action import CustomerAction
from accounts.models import User
from accounts.services.signing_in.password_reset import request_reset
from config.backoffice.once_action import Effect


class SendResetLink(CustomerAction[User], AccountsAction[User]):
    """Send the link; only the person receives it."""

    name, path = "send_reset_link", "send-reset-link"
    permission = "accounts.send_password_reset"
    title = "Send reset link"
    verb = "sent"

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            f"{self.target} is sent an email with a link that sets a new password. It is good for one use within an "
            "hour. Until it is used nothing changes."
        )

    def apply(self, asked: dict[str, Any]) -> Effect:  # noqa: ARG002
        request_reset(user_id=self.target.pk, now=timezone.now())
        return Effect(
            "Sent a link to set a new password",
            [("To", self.target.email), ("Good for", "one use within an hour"), ("Password until then", "stays")],
        )

    def success(self, done: Effect) -> str:  # noqa: ARG002
        return "The link goes out with the next emails, within minutes."
