"""The back office as a site: Django's, whose front page an app may add to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse


class BackOfficeSite(AdminSite):
    """Knows no app: whoever has something for the front page says so when it is loaded, as with `register`."""

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.front_page: Callable[[HttpRequest], dict[str, Any]] = lambda _: {}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**self.front_page(request), **(extra_context or {})})
