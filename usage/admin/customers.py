"""The page of a customer: their account, their credits, and the actions on them.

It is in the topmost app, since it joins all three; `accounts` and `ledger` provide their parts of it.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from import_export.resources import Resource

from accounts.admin.keys.issuing import IssueKey
from accounts.admin.keys.revoking import RevokeKeys
from accounts.admin.people.people import PersonAdmin
from accounts.models import User
from config.backoffice.credits import shown
from config.backoffice.exports import Exportable, column
from config.backoffice.staff_action import links_to
from ledger.admin.credits.adjusting import AdjustCredits
from ledger.admin.credits.available import available_credits
from ledger.admin.subscriptions.actions import ACTIONS as ON_SUBSCRIPTIONS
from ledger.admin.terms.actions import Freeze, SetOverdraftLimit
from usage.admin.overview import overview_of
from usage.admin.statements import DownloadStatement


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
    """Customers and staff, with the credits that they can spend."""

    records_views = True
    staff_actions = (
        AdjustCredits, IssueKey, RevokeKeys, DownloadStatement, Freeze, SetOverdraftLimit, *PersonAdmin.staff_actions,
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        subscribing = path(
            "<str:object_id>/subscription/<str:name>/",
            self.admin_site.admin_view(self.change_subscription),
            name="accounts_user_subscription",
        )
        return [subscribing, *super().get_urls()]

    def change_subscription(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Start, change, pause, resume or cancel this customer's subscription."""
        action = ON_SUBSCRIPTIONS.get(name)
        if action is None:
            raise Http404
        return action.view(request, target=self.get_object(request, object_id), site=self.admin_site)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        if not _is_list(request):
            return people.select_related("balance")
        if not request.user.has_perm("ledger.view_balance"):
            return people
        return people.annotate(available_now=available_credits("balance__"), balance_now=F("balance__balance"))

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
            actions = links_to(self.staff_actions, request.user, obj)
            context |= {"overview": overview_of(obj, viewer=request.user, actions=actions), "staff_actions": ()}
        return super().render_change_form(request, context, add, change, form_url, obj)


def _is_list(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.url_name in ("accounts_user_changelist", "accounts_user_export")
