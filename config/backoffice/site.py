"""The back office's site: Django's, with a front page that apps can add to, and one search."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse


class BackOfficeSite(AdminSite):
    """An admin site that knows no app: apps register their additions when they are loaded, as with `register`."""

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.more_pages: list[Callable[[AdminSite], URLPattern]] = []
        self.front_page: Callable[[HttpRequest], dict[str, Any]] = lambda _: {}
        self.own_password: Callable[[HttpRequest, dict[str, Any]], HttpResponseBase] = super().password_change
        self.sign_in: Callable[[HttpRequest, dict[str, Any]], HttpResponseBase] = super().login
        self.instead_of_page: Callable[[HttpRequest], HttpResponseBase | None] = lambda _: None

    def get_urls(self) -> list[URLPattern | URLResolver]:
        more = [page(self) for page in self.more_pages]
        return [path("search/", self.admin_view(self.search), name="search"), *more, *super().get_urls()]

    def search(self, request: HttpRequest) -> HttpResponseBase:
        from config.backoffice.search.page import search_page  # noqa: PLC0415  models are there only now

        return search_page(request, self)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        request.current_app = self.name
        return self.own_password(request, {**self.each_context(request), **(extra_context or {})})

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:  # type: ignore[override]
        """Show the sign-in form; who has signed in goes on to the front page."""
        if request.method == "GET" and self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        request.current_app = self.name
        return self.sign_in(request, {**self.each_context(request), "title": "Sign in", **(extra_context or {})})

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Let staff pass to a page unless `instead_of_page` has another response, such as one about a second factor.

        Signing out needs nothing.
        """

        @wraps(view)
        def passed(request: HttpRequest, *args: Any, **named: Any) -> Any:
            is_leaving = request.path == reverse("admin:logout")
            other = None if is_leaving else self.instead_of_page(request)
            return view(request, *args, **named) if other is None else other

        return super().admin_view(passed, cacheable)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**self.front_page(request), **(extra_context or {})})
