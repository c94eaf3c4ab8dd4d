"""The back office's site: Django's, with a front page that apps can add to, and one search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from config.http.session_ends import begin_session


class BackOfficeSite(AdminSite):
    """An admin site that knows no app: apps register their additions when they are loaded, as with `register`."""

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.front_page: Callable[[HttpRequest], dict[str, Any]] = lambda _: {}
        self.own_password: Callable[[HttpRequest, dict[str, Any]], HttpResponseBase] = super().password_change
        self.sign_in_response: Callable[[HttpRequest, HttpResponseBase], HttpResponseBase] = lambda _, answer: answer

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [path("search/", self.admin_view(self.search), name="search"), *super().get_urls()]

    def search(self, request: HttpRequest) -> HttpResponseBase:
        from config.backoffice.search.page import search_page  # noqa: PLC0415  models are there only now

        return search_page(request, self)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        request.current_app = self.name
        return self.own_password(request, {**self.each_context(request), **(extra_context or {})})

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:  # type: ignore[override]
        answer = super().login(request, extra_context)
        if request.method == "POST" and request.user.is_authenticated:
            begin_session(request)
        return self.sign_in_response(request, answer)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**self.front_page(request), **(extra_context or {})})
