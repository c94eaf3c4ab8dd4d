"""API calls over plain http where https is required: refused, not redirected.

A redirect would be followed silently, and the key would cross the network unencrypted each time unnoticed.
"""

from __future__ import annotations

import re

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config.http.answers import error_answer
from config.http.api_paths import is_api_path

_CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY")


class PlainHttpMiddleware:
    """Refuse API calls over plain http; Django's SecurityMiddleware then redirects pages and anonymous reads."""

    def __init__(self, get_response: object) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SECURE_SSL_REDIRECT and not request.is_secure() and _is_call(request):
            return error_answer(
                403,
                code="https_required",
                detail="This API is for https alone. Use an https address, and replace a key that was sent without.",
            )
        answer: HttpResponseBase = self.get_response(request)  # type: ignore[operator]
        return answer


def _is_call(request: HttpRequest) -> bool:
    """Return whether a request is an API call of a program: with a body or with credentials, on an API path."""
    is_reading = request.method in ("GET", "HEAD")
    has_credentials = any(request.META.get(name) for name in _CREDENTIALS)
    if (is_reading and not has_credentials) or not is_api_path(request.path_info):
        return False
    return not any(re.search(exempt, request.path_info.lstrip("/")) for exempt in settings.SECURE_REDIRECT_EXEMPT)
