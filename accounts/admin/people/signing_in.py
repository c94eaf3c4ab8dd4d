"""Signing in to the back office: too many failures return a 429; a browser that signed in is remembered."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from accounts.backends import DEVICE_COOKIE, TOO_MANY
from accounts.models import User
from accounts.services.signing_in.devices import DEVICES_ARE_KNOWN_FOR, new_device_token
from config.backoffice.site import BackOfficeSite


def sign_in_response(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    """Complete the response of the sign-in form."""
    if request.method != "POST":
        return answer
    if isinstance(request.user, User):
        answer.set_cookie(
            DEVICE_COOKIE,
            new_device_token(request.user),
            max_age=DEVICES_ARE_KNOWN_FOR,
            path=reverse("admin:login"),
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Strict",
        )
        return answer
    return as_too_many_requests(answer)


def as_too_many_requests(answer: HttpResponseBase) -> HttpResponseBase:
    """Turn a form's response about too many failures into a 429 with Retry-After."""
    wait = _wait_of(answer)
    if wait is not None:
        answer.status_code = 429
        answer.headers["Retry-After"] = str(wait)
    return answer


def _wait_of(answer: HttpResponseBase) -> int | None:
    """Return how many seconds the form asks to wait; None if it has no such error."""
    context: Any = getattr(answer, "context_data", None) or {}
    form = context.get("form")
    errors = [error for each in form.errors.as_data().values() for error in each] if form is not None else []
    return next((error.params["retry_after_seconds"] for error in errors if error.code == TOO_MANY), None)


cast(BackOfficeSite, admin.site).sign_in_response = sign_in_response
