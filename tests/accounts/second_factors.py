"""People with second factors, and signing in through the pages as a browser does."""

from __future__ import annotations

import time
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from allauth.mfa.utils import decrypt
from django.test import Client

from accounts.models import User
from tests.factories import PASSWORD

SIGN_IN, CODE_PAGE, ENROL = "/admin/login/", "/account/second-factor/sign-in/", "/account/second-factor/"
STEP_SECONDS = 30


def app_of(user: User) -> Authenticator:
    """Give a person an authenticator app."""
    return TOTP.activate(user, generate_totp_secret()).instance


def recovery_codes_of(user: User) -> list[str]:
    """Give a person recovery codes, or return those that there are."""
    return RecoveryCodes.activate(user).get_unused_codes()


def code_of(app: Authenticator, *, steps: int = 0) -> str:
    """Return the code that the app shows now, or some steps of 30 seconds later."""
    return code_from(decrypt(app.data["secret"]), steps=steps)


def code_from(secret: str, *, steps: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // STEP_SECONDS + steps))


def give_password(client: Client, user: User, **more: Any) -> Any:
    return client.post(SIGN_IN, {"username": user.email, "password": PASSWORD, **more})


def give_code(client: Client, code: str) -> Any:
    return client.post(CODE_PAGE, {"code": code})


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session
