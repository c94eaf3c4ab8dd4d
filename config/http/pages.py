"""Sessions, forms and messages are for pages: calls of the API pass these by.

Each layer costs every request a little, and a call with a token or key has no use for any of them.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from config.http.api_paths import is_api_path
from config.http.session_ends import end_stale_session


class _PagesOnly:
    """Steps aside for paths of the API."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_api_path(request.path_info):
            answer: HttpResponseBase = self.get_response(request)
            return answer
        return super().__call__(request)  # type: ignore[misc,no-any-return]


class PageSessions(_PagesOnly, SessionMiddleware):
    pass


class PageForms(_PagesOnly, CsrfViewMiddleware):
    """Demands the form's token on pages. Calls of the API carry no cookie that a foreign page could ride on."""

    def process_view(self, request: HttpRequest, *view: Any) -> Any:
        return None if is_api_path(request.path_info) else super().process_view(request, *view)


class PagePeople(_PagesOnly, AuthenticationMiddleware):
    """Says who has signed in, unless that was too long ago."""

    def process_request(self, request: HttpRequest) -> None:
        end_stale_session(request)
        super().process_request(request)


class PageMessages(_PagesOnly, MessageMiddleware):
    pass
