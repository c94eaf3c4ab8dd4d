"""The page of a customer: who they are, what they have, and the way to adjust it.

It stands in the topmost app, since it joins all three; `accounts` and `ledger` give their parts of it.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from import_export.resources import Resource

from accounts.admin.issuing import CUSTOMER_KEYS, issue_key_view
from accounts.admin.people import PersonAdmin
from accounts.models import User
from config.backoffice.credits import shown
from config.backoffice.exports import Exportable, column
from ledger.admin.adjusting import adjust_credits_view
from ledger.admin.available import available_credits
from ledger.admin.subscribing import subscription_view
from ledger.admin.terms import Freezing, Overdraft, change_terms_view
from usage.admin.overview import overview_of


class PersonExport(Resource):
    id = column("id")
    email = column("email")
    full_name = column("full_name")
    is_active = column("is_active")
    is_staff = column("is_staff")
    created_at = column("created_at")
    last_login = column("last_login")


class CustomerExport(PersonExport):
    balance = column("balance_now", "balance")
    available = column("available_now", "available")


@admin.register(User)
class CustomerAdmin(Exportable, PersonAdmin):
    """People with what they can spend."""

    def get_urls(self) -> list[URLPattern]:
        adjusting = path(
            "<str:object_id>/adjust-credits/",
            self.admin_site.admin_view(self.adjust_credits),
            name="accounts_user_adjust_credits",
        )
        issuing = path(
            "<str:object_id>/issue-key/", self.admin_site.admin_view(self.issue_key), name="accounts_user_issue_key"
        )
        freezing = path("<str:object_id>/freeze/", self.admin_site.admin_view(self.freeze), name="accounts_user_freeze")
        overdrawing = path(
            "<str:object_id>/overdraft-limit/",
            self.admin_site.admin_view(self.set_overdraft),
            name="accounts_user_overdraft",
        )
        subscribing = path(
            "<str:object_id>/subscription/<str:name>/",
            self.admin_site.admin_view(self.change_subscription),
            name="accounts_user_subscription",
        )
        return [adjusting, issuing, freezing, overdrawing, subscribing, *super().get_urls()]

    def adjust_credits(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Adjust this customer's credits."""
        return adjust_credits_view(request, customer=self.get_object(request, object_id), site=self.admin_site)

    def freeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Freeze this customer's balance, or end that."""
        customer = self.get_object(request, object_id)
        return change_terms_view(request, action=Freezing(), customer=customer, site=self.admin_site)

    def set_overdraft(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set how far this customer's balance may be overdrawn."""
        customer = self.get_object(request, object_id)
        return change_terms_view(request, action=Overdraft(), customer=customer, site=self.admin_site)

    def change_subscription(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Start, change, pause, resume or cancel this customer's subscription."""
        customer = self.get_object(request, object_id)
        return subscription_view(request, name=name, customer=customer, site=self.admin_site)

    def issue_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Issue a key to this customer."""
        if not request.user.has_perm(CUSTOMER_KEYS):
            raise PermissionDenied
        customer = self.get_object(request, object_id)
        if customer is None:
            raise Http404
        return issue_key_view(request, customer=customer, site=self.admin_site)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        if _is_list(request) and request.user.has_perm("ledger.view_balance"):
            return people.annotate(available_now=available_credits("balance__"), balance_now=F("balance__balance"))
        return people

    def get_export_resource_classes(self, request: HttpRequest) -> list[Any]:
        return [CustomerExport if request.user.has_perm("ledger.view_balance") else PersonExport]

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
    return match is not None and match.url_name in ("accounts_user_changelist", "accounts_user_export")
