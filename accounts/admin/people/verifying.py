"""Verifying a person's email by hand, where no link could show that they read it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from accounts.admin.accounts_action import AccountsAction
from accounts.admin.customer_action import CustomerAction
from accounts.forms import VerifyEmailForm
from accounts.models import User
from accounts.services.people import verify_email
from config.backoffice.once_action import Effect
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at


class VerifyEmail(CustomerAction[User], AccountsAction[User]):
    name, path = "verify_email", "verify-email"
    permission = "accounts.verify_email"
    title = "Verify email"
    form_class = VerifyEmailForm
    verb = "verified"

    @classmethod
    def applies_to(cls, target: User) -> bool:
        return target.email_verified_at is None

    def figures(self) -> Lines:
        return [("Address", self.target.email), ("Verified", shown_at(self.target.email_verified_at))]

    def initial(self) -> dict[str, Any]:
        return {"email": self.target.email}

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            "Only after you have made sure, by another way than their word, that the person reads this address: "
            "receipts that are sent again and emails with words of the account's own go to verified addresses only. "
            "A change of the address ends it."
        )

    def apply(self, asked: dict[str, Any]) -> Effect:
        verify_email(user_id=self.target.pk, email=asked["email"], now=timezone.now())
        return Effect("Verified the email by hand", [("Address", asked["email"]), ("Verified", "no → yes")])
