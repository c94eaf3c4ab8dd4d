"""Every route and method of the site, read from its URL configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ADMIN = "/admin"
_ACCOUNT = "/account/"  # pages of people about their own account: tests/journeys/test_account_pages.py
_PAGES = ("/reset-password/{token}/",)  # HTML for people: each has tests of its own


class Route(NamedTuple):
    """One way to call one path, which is written as in the contract: `/auth/account/ledger/{id}`."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    """Return all routes but the back office's."""
    return [
        Route(method, path)
        for path, pattern in _walk(get_resolver().url_patterns, "/")
        if path not in (_ADMIN, *_PAGES) and not path.startswith((f"{_ADMIN}/", _ACCOUNT))
        for method in _methods(pattern)
    ]


@cache
def document() -> dict[str, Any]:
    """Return the API's OpenAPI document."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made


def api_paths() -> list[str]:
    """Return all paths that respond in JSON, or with errors in it."""
    return sorted({route.path for route in routes()} - {"/"})


def admin_patterns() -> list[tuple[str, URLPattern]]:
    """Return the routes of the back office by path, with variable parts as Django writes them."""
    resolver = next(each for each in get_resolver().url_patterns if getattr(each, "app_name", None) == "admin")
    return list(_walk(resolver.url_patterns, f"{_ADMIN}/"))


def account_pages() -> list[str]:
    """Return the paths of all pages below /account/."""
    return [path for path, _ in _walk(get_resolver().url_patterns, "/") if path.startswith(_ACCOUNT)]


def _walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        path = before + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield path, pattern
        elif path != f"{_ADMIN}/":
            yield from _walk(pattern.url_patterns, path)


def _methods(pattern: URLPattern) -> list[str]:
    view: Any = pattern.callback
    if hasattr(view, "actions"):  # of a ViewSet: its methods are named on the route
        return [method for method in VERBS if method.lower() in view.actions]
    kind = getattr(view, "cls", None) or view.view_class
    return [
        method
        for method in VERBS
        if method.lower() in kind.http_method_names and callable(getattr(kind, method.lower(), None))
    ]
