"""Second factors as forms: codes within the limits on guessing, and passkeys whatever a browser claims they said."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm, AuthenticateWebAuthnForm, ReauthenticateWebAuthnForm
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.backends import too_many_failures
from accounts.errors import TooManyLoginFailures, WrongSecondFactor
from accounts.services.signing_in.second_factors import use_code


class _GuardedCode:
    """Check the code by our own service: each works once, and guesses are counted over all processes."""

    user: Any
    cleaned_data: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["code"].widget.attrs |= {"autofocus": True, "inputmode": "numeric"}  # type: ignore[attr-defined]

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


# What reading a damaged answer raises; django-allauth catches some of it.
_DAMAGED = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    RecursionError,
    struct.error,
    InvalidSignature,
    UnsupportedAlgorithm,
    ValidationError,  # of django-allauth itself, whose sentence is about codes
)


@contextmanager
def _refusing_damaged_answers() -> Iterator[None]:
    """Turn whatever reading a browser's answer raises into the form's error.

    :raises ValidationError: if the answer is damaged, forged or of another key
    """
    try:
        yield
    except _DAMAGED as error:
        raise get_adapter().validation_error("incorrect_key") from error


class AddKeyForm(AddWebAuthnForm):
    """A new passkey, and a name for it."""

    def clean(self) -> dict[str, Any]:
        with _refusing_damaged_answers():
            cleaned: dict[str, Any] = super().clean()
        return cleaned


class KeyForm(AuthenticateWebAuthnForm):
    """A passkey after the password."""

    def clean_credential(self) -> Any:
        with _refusing_damaged_answers():
            return super().clean_credential()


class KeyAgainForm(ReauthenticateWebAuthnForm):
    """A passkey of a person who has signed in, before money moves."""

    def clean_credential(self) -> Any:
        with _refusing_damaged_answers():
            return super().clean_credential()
