"""Customers in the back office: their list, their page, and their settings as its second tab.

It is in the topmost app, since it joins all three; `accounts` and `ledger` provide their parts of it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from import_export.resources import Resource

from accounts.admin.keys.issuing import IssueKey
from accounts.admin.keys.revoking import RevokeKeys
from accounts.admin.people.people import PersonAdmin
from accounts.models import User
from config.backoffice.credits import shown
from config.backoffice.exports import Exportable, column
from config.backoffice.links import page_url
from config.backoffice.record import record_view
from ledger.admin.credits.adjusting import AdjustCredits
from ledger.admin.credits.available import available_credits
from ledger.admin.subscriptions.actions import ACTIONS as ON_SUBSCRIPTIONS
from ledger.admin.terms.actions import Freeze, SetOverdraftLimit
from ledger.selectors import owed_credits
from usage.admin.customer.page import page_of
from usage.admin.customer.timeline import BEFORE
from usage.admin.statements import DownloadStatement
from usage.services.figures.windows import SILENT


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


class LostFilter(admin.SimpleListFilter):
    """Customers who were lost within some days: the front page links to them. Shown only when set."""

    title = "lost"
    parameter_name = "lost"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [] if self.value() is None else [(str(self.value()), f"Lost {str(self.value()).replace('_', ' to ')}")]

    def has_output(self) -> bool:
        return self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:  # noqa: ARG002
        if self.value() is None:
            return queryset
        first, last = (parse_date(part) for part in f"{self.value()}_".split("_")[:2])
        if first is None or last is None:
            return queryset.none()
        silent = dt.timedelta(days=SILENT)
        return queryset.filter(figures__last_used_on__range=(first - silent, last - silent))


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
        settings = path(
            "<str:object_id>/settings/",
            self.admin_site.admin_view(self.settings_view),
            name="accounts_user_settings",
        )
        return [subscribing, settings, *super().get_urls()]

    def get_list_filter(self, request: HttpRequest) -> Any:
        return (*super().get_list_filter(request), LostFilter)

    def change_subscription(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Start, change, pause, resume or cancel this customer's subscription."""
        action = ON_SUBSCRIPTIONS.get(name)
        if action is None:
            raise Http404
        return action.view(request, target=self.get_object(request, object_id), site=self.admin_site)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        if not _is_list(request):
            return people.select_related("balance", "auto_reload").annotate(owed=owed_credits())
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

    # --- The page, and its tab of settings ---

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Show the customer page; a POST is of the settings."""
        if request.method not in ("GET", "HEAD"):
            return self.settings_view(request, object_id)
        customer = self.get_object(request, object_id)
        if customer is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined, no-any-return]
        if not self.has_view_or_change_permission(request, customer):
            raise PermissionDenied
        page = page_of(
            customer,
            viewer=request.user,
            actions=self.staff_actions,
            now=timezone.now(),
            before=request.GET.get(BEFORE, ""),
        )
        record_view(request, customer)
        context = {
            **self._tabs(request, customer),
            "page": page,
            "before": BEFORE,
            "is_latest": not request.GET.get(BEFORE),
        }
        return TemplateResponse(request, "admin/accounts/user/customer.html", context)

    def settings_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show or save the settings of an account: email, name, access, roles, limits."""
        customer = self.get_object(request, object_id)
        more = {} if customer is None else {**self._tabs(request, customer), "staff_actions": ()}
        return super().change_view(request, object_id, extra_context=more)

    def response_post_save_change(self, request: HttpRequest, obj: User) -> HttpResponseRedirect:  # noqa: ARG002
        return HttpResponseRedirect(page_url("accounts_user", obj.pk))

    def _tabs(self, request: HttpRequest, customer: User) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": customer.full_name or customer.email,
            "customer": customer,
            "customer_url": page_url("accounts_user", customer.pk),
            "settings_url": reverse("admin:accounts_user_settings", args=[customer.pk]),
            "history_url": reverse("admin:accounts_user_history", args=[customer.pk]),
        }


def _is_list(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.url_name in ("accounts_user_changelist", "accounts_user_export")
