"""Codes of a second factor, checked within the limits on guessing."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from django.utils import timezone

from accounts.backends import too_many_failures
from accounts.errors import TooManyLoginFailures, WrongSecondFactor
from accounts.services.signing_in.second_factors import use_code


class _GuardedCode:
    """Check the code by our own service: each works once, and guesses are counted over all processes."""

    user: Any
    cleaned_data: dict[str, Any]

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        try:
            self.authenticator = use_code(user=self.user, code=code, now=timezone.now())
        except WrongSecondFactor:
            raise get_adapter().validation_error("incorrect_code") from None
        except TooManyLoginFailures as refusal:
            raise too_many_failures(refusal) from None
        return code


class CodeForm(_GuardedCode, AuthenticateForm):
    """The code after the password."""


class CodeAgainForm(_GuardedCode, ReauthenticateForm):
    """The code of a person who has signed in, before money moves."""
