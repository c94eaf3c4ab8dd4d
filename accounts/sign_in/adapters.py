"""What django-allauth asks this project: who has which password, where people go, how secrets are kept."""

from __future__ import annotations

import base64
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from accounts.backends import too_many_failures
from accounts.errors import HashingBusy, TooManyLoginFailures, WrongCurrentPassword
from accounts.models import User
from accounts.services.signing_in.page_sessions import purge_ended_sessions
from accounts.services.signing_in.passwords import verify_current_password
from accounts.services.signing_in.second_factors import is_last_factor
from accounts.sign_in.device_cookie import remember_browser
from config.backoffice.record import record_sign_in
from config.http.client_address import client_address
from config.http.session_ends import begin_session
from config.http.sign_in_records import shown_steps, signed_in_lately
from config.values.addresses import read_address

_NO_ADDRESS = "0.0.0.0"  # noqa: S104  callers through a Unix socket have none, and the column may not be null


class AccountAdapter(DefaultAccountAdapter):
    """Passwords by our login guard, sessions by our rules for their ends; nobody registers here, no email goes out."""

    error_messages = DefaultAccountAdapter.error_messages | {"incorrect_password": "This password is wrong."}

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def get_login_stages(self) -> list[str]:
        return ["accounts.sign_in.stage.SecondFactorStage"]

    def get_login_redirect_url(self, request: HttpRequest) -> str:  # noqa: ARG002
        return reverse("admin:index")

    def get_client_ip(self, request: HttpRequest) -> str:
        address = client_address(request)
        return address if read_address(address) is not None else _NO_ADDRESS

    def login(self, request: HttpRequest, user: User) -> None:
        """Start the session: the only place where a person of a page becomes signed in."""
        purge_ended_sessions(now=timezone.now())
        super().login(request, user)
        begin_session(request)
        if user.is_staff:
            record_sign_in(request, how=shown_steps(request))

    def post_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse:
        answer: HttpResponse = super().post_login(request, user, **options)
        return remember_browser(answer, user)

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:  # noqa: ARG002
        return HttpResponseRedirect(reverse("account_login"))

    def reauthenticate(self, user: User, password: str) -> bool:
        """Check the password of a person who has signed in; wrong ones count as failed sign-ins.

        :raises ValidationError: after too many failures
        """
        address = client_address(self.request)
        try:
            verify_current_password(user=user, current=password, address=address, now=timezone.now())
        except WrongCurrentPassword:
            return False
        except (TooManyLoginFailures, HashingBusy) as refusal:
            raise too_many_failures(refusal) from refusal
        return True

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Return how a person can confirm who they are: what they have here, else anew at the issuer."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if methods or not settings.OIDC_ISSUER or not user.is_authenticated:
            return methods
        again = {"id": "single_sign_on", "description": f"Sign in again with {settings.OIDC_NAME}"}
        return [{**again, "url": reverse("single_sign_on_again")}]

    def is_reauthentication_required(self, *, app: str, **options: Any) -> bool:  # noqa: ARG002
        """Return False after a recent sign-in: allauth itself counts confirmations only, and would ask twice."""
        return not signed_in_lately(self.request)

    def send_notification_mail(self, *args: Any, **options: Any) -> None:
        """Send nothing: our notices go out with the other emails, outside of any request."""


class SecondFactorAdapter(DefaultMFAAdapter):
    """Secrets are encrypted, and nobody who must have a second factor removes the last one."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "This code is wrong, has been used, or its time is over. Take the next one.",
        "incorrect_key": "This passkey was not accepted. Try again.",
        "cannot_delete_authenticator": "This is your only second factor, and staff must have one: add another first.",
    }

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher().decrypt(encrypted_text.encode()).decode()

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        user = authenticator.user
        if not (settings.STAFF_MFA_REQUIRED and user.is_staff):
            return True
        return not is_last_factor(authenticator)


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(_fernet_key(key)) for key in settings.SECOND_FACTOR_KEYS or [settings.SECRET_KEY]])


def _fernet_key(key: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tollbook second factors").derive(key.encode())
    return base64.urlsafe_b64encode(derived)
