"""How the person of a session has signed in: django-allauth notes each step in the session itself."""

from __future__ import annotations

import time
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.http import HttpRequest

PASSWORD, SECOND_FACTOR, SINGLE_SIGN_ON = "password", "mfa", "single_sign_on"
_OURS = (PASSWORD, SECOND_FACTOR, SINGLE_SIGN_ON)  # django-allauth's own for an issuer does not know when it asked
_NAMES = {SECOND_FACTOR: "second factor", SINGLE_SIGN_ON: "single sign-on"}


def used_second_factor(request: HttpRequest) -> bool:
    """Return whether the person of this session gave a second factor, here or at the issuer of single sign-on."""
    return any(step["method"] == SECOND_FACTOR for step in _steps(request))


def signed_in_lately(request: HttpRequest) -> bool:
    """Return whether the person gave a password or second factor at most STAFF_REAUTH_MINUTES ago."""
    ages = (time.time() - _time_of(step) for step in _steps(request) if step["method"] in _OURS)
    return any(0 <= age < settings.STAFF_REAUTH_MINUTES * 60 for age in ages)


def require_recent_sign_in(request: HttpRequest, *, has_secrets: bool = False) -> None:
    """Require that the person has signed in lately, or has just confirmed who they are.

    The page that asks for it follows. A form that was sent is kept in the session and goes on from there; one that
    `has_secrets`, such as a password, is not kept, and is filled in again.

    :raises ReauthenticationRequired: which AccountMiddleware answers with that page
    """
    if signed_in_lately(request):
        return
    if has_secrets:
        request.method = "GET"  # of a GET only the address is kept
    raise ReauthenticationRequired


def shown_steps(request: HttpRequest) -> str:
    """Return by what the person has signed in, in words: `password, second factor`."""
    methods = dict.fromkeys(str(step["method"]) for step in _steps(request))
    return ", ".join(_NAMES.get(method, method) for method in methods) or "an unknown way"


def _steps(request: HttpRequest) -> list[dict[str, Any]]:
    user = request.user
    return get_authentication_records(request, user) if user.is_authenticated else []


def _time_of(step: dict[str, Any]) -> float:
    """Return when a step was taken; an issuer may say that it asked the person earlier than we saw them."""
    return min(float(step["at"]), float(step.get("asked_at") or step["at"]))
