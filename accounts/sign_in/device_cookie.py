"""The cookie by which the login guard recognises a browser that has signed in before (docs/decisions/0008)."""

from __future__ import annotations

from typing import TypeVar

from django.conf import settings
from django.http.response import HttpResponseBase
from django.urls import reverse

from accounts.backends import DEVICE_COOKIE
from accounts.models import User
from accounts.services.signing_in.devices import DEVICES_ARE_KNOWN_FOR, new_device_token

Answer = TypeVar("Answer", bound=HttpResponseBase)


def remember_browser(answer: Answer, user: User) -> Answer:
    """Set the cookie on the response to a person's sign-in; it is sent to the sign-in form only."""
    answer.set_cookie(
        DEVICE_COOKIE,
        new_device_token(user),
        max_age=DEVICES_ARE_KNOWN_FOR,
        path=reverse("admin:login"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )
    return answer
