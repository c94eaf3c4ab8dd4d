"""Sessions, forms and messages are for pages only: API calls bypass this middleware.

Each middleware adds cost to every request, and a call with a token or key needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from allauth.account.middleware import AccountMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from config.http.api_paths import is_api_path
from config.http.session_ends import end_stale_session

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class PageUserMiddleware(AuthenticationMiddleware):
    """Set the signed-in user, unless the session is too old."""

    def process_request(self, request: HttpRequest) -> None:
        end_stale_session(request)
        super().process_request(request)


class PageLayersMiddleware:
    """Run Django's page middleware for pages, and none of it for API calls.

    Each middleware is wrapped as Django does it, so that an error in one becomes a response for the outer ones.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._api = get_response
        messages = convert_exception_to_response(MessageMiddleware(get_response))
        self._account = AccountMiddleware(messages)
        people = convert_exception_to_response(PageUserMiddleware(convert_exception_to_response(self._account)))
        self._forms = CsrfViewMiddleware(people)
        self._pages = SessionMiddleware(convert_exception_to_response(self._forms))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_api_path(request.path_info):
            return self._api(request)
        return cast(HttpResponseBase, self._pages(request))  # never awaitable: the server is synchronous

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Return the response to what django-allauth raises on pages, such as the need to confirm who one is."""
        if not hasattr(request, "allauth"):
            return None
        return cast("HttpResponseBase | None", self._account.process_exception(request, exception))

    def process_view(self, request: HttpRequest, *view: Any) -> Any:
        """Require the CSRF token on pages. API calls have no cookie that a foreign page could use."""
        return self._forms.process_view(request, *view) if hasattr(request, "session") else None
