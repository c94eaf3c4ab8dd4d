"""Every route and method that the site answers, read from its URL configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ADMIN = "/admin"
_PAGES = ("/reset-password/{token}/",)  # HTML for people: each is tested by itself


class Route(NamedTuple):
    """One way to call one path, which is written as in the contract: `/auth/account/ledger/{id}`."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    """Name every route but the back office's."""
    return [
        Route(method, path)
        for path, pattern in _walk(get_resolver().url_patterns, "/")
        if path not in (_ADMIN, *_PAGES) and not path.startswith(f"{_ADMIN}/")
        for method in _methods(pattern)
    ]


@cache
def document() -> dict[str, Any]:
    """Give the API's own description, OpenAPI."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made


def api_paths() -> list[str]:
    """Name every path that speaks JSON, or says its errors in it."""
    return sorted({route.path for route in routes()} - {"/"})


def admin_patterns() -> list[tuple[str, URLPattern]]:
    """Give every route of the back office by its path, whose variable parts stay as Django writes them."""
    resolver = next(each for each in get_resolver().url_patterns if getattr(each, "app_name", None) == "admin")
    return list(_walk(resolver.url_patterns, f"{_ADMIN}/"))


def _walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        path = before + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield path, pattern
        elif path != f"{_ADMIN}/":
            yield from _walk(pattern.url_patterns, path)


def _methods(pattern: URLPattern) -> list[str]:
    view: Any = pattern.callback
    if hasattr(view, "actions"):  # of a ViewSet: it names its methods when it is put on a route
        return [method for method in VERBS if method.lower() in view.actions]
    kind = getattr(view, "cls", None) or view.view_class
    return [
        method
        for method in VERBS
        if method.lower() in kind.http_method_names and callable(getattr(kind, method.lower(), None))
    ]
