"""The page of a customer: who they are, what they have, and the way to adjust it.

It stands in the topmost app, since it joins all three; `accounts` and `ledger` give their parts of it.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from accounts.admin.people import PersonAdmin
from accounts.models import User
from config.backoffice.credits import shown
from ledger.admin.adjusting import adjust_credits_view
from ledger.admin.available import available_credits
from usage.admin.overview import overview_of


@admin.register(User)
class CustomerAdmin(PersonAdmin):
    """People with what they can spend."""

    def get_urls(self) -> list[URLPattern]:
        adjusting = path(
            "<str:object_id>/adjust-credits/",
            self.admin_site.admin_view(self.adjust_credits),
            name="accounts_user_adjust_credits",
        )
        return [adjusting, *super().get_urls()]

    def adjust_credits(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Adjust this customer's credits."""
        return adjust_credits_view(request, customer=self.get_object(request, object_id), site=self.admin_site)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        if _is_list(request) and request.user.has_perm("ledger.view_balance"):
            return people.annotate(available_now=available_credits("balance__"))
        return people

    def get_list_display(self, request: HttpRequest) -> Any:
        if not request.user.has_perm("ledger.view_balance"):
            return self.list_display
        *first, last = self.list_display
        return (*first, "available", last)

    @admin.display(description="available credits")
    def available(self, person: User) -> str:
        return shown(person.available_now)  # type: ignore[attr-defined]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: User | None = None,
    ) -> HttpResponse:
        if obj is not None:
            context["overview"] = overview_of(obj, viewer=request.user)
        return super().render_change_form(request, context, add, change, form_url, obj)


def _is_list(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.url_name == "accounts_user_changelist"
