"""Single sign-on with django-allauth: it talks to the issuer, our service decides who comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from allauth.account.adapter import get_adapter as account_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, _build_apps_from_settings
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.errors import SignOnRefused
from accounts.models import User
from accounts.providers.issuer import IssuerSession
from accounts.services.signing_in.single_sign_on import Vouched, sign_on, vouched
from config.http.sign_in_records import SECOND_FACTOR, SINGLE_SIGN_ON


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    """The issuer of the settings alone; nobody registers, and accounts are found by our rule."""

    def list_apps(self, request: Any, provider: Any = None, client_id: Any = None) -> list[SocialApp]:  # noqa: ARG002
        """Return the issuer of the settings: rows of the database make none."""
        found = _build_apps_from_settings(provider=provider, client_id=client_id)
        return [app for apps in found.values() for app in apps]

    def get_requests_session(self) -> IssuerSession:
        return IssuerSession()

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:  # noqa: ARG002
        return False

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:  # noqa: ARG002
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Find the person, take over the roles, and note a second factor given to the issuer.

        :raises ImmediateHttpResponse: with a page that says why the person may not come in
        """
        account = sociallogin.account
        if not _is_of_one_person(account):
            refuse(request, "The issuer's answers are about two different people.")
        said = vouched(claims_of(account), issuer=account.provider, subject=account.uid)
        try:
            person = sign_on(said, now=timezone.now())
        except SignOnRefused as refusal:
            refuse(request, str(refusal))
        sociallogin.user = person
        sociallogin.account = SocialAccount.objects.get(provider=said.issuer, uid=said.subject)
        if request.user.is_authenticated:
            account_adapter().logout(request)  # django-allauth would do so later, and forget what is noted next
        _note(request, person, said)


def _is_of_one_person(account: SocialAccount) -> bool:
    """Return whether token and page about the person name the same one (OpenID Connect Core, 5.3.2)."""
    said = account.extra_data if isinstance(account.extra_data, Mapping) else {}
    return {part["sub"] for part in said.values() if isinstance(part, Mapping) and "sub" in part} == {account.uid}


def claims_of(account: SocialAccount) -> dict[str, Any]:
    """Return what the issuer said: of the signed token, and beside it what its page about the person says."""
    said = account.extra_data if isinstance(account.extra_data, Mapping) else {}
    return {**(said.get("userinfo") or {}), **(said.get("id_token") or {})}


def refuse(request: HttpRequest, why: str) -> NoReturn:
    """Answer with a page that says why nobody was signed in.

    :raises ImmediateHttpResponse: with that page
    """
    raise ImmediateHttpResponse(refusal_page(request, why))


def refusal_page(request: HttpRequest, why: str, *, status: int = 403) -> HttpResponse:
    return render(request, "account/sign_on_refused.html", {"why": why, "name": settings.OIDC_NAME}, status=status)


def _note(request: HttpRequest, person: User, said: Vouched) -> None:
    method = SECOND_FACTOR if said.gave_second_factor else SINGLE_SIGN_ON
    record_authentication(request, person, method, type=SINGLE_SIGN_ON, asked_at=said.asked_at)
