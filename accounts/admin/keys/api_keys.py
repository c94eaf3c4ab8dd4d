"""API keys: found by their public part, and revoked. usage/admin/api_keys.py adds what they spent."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone

from accounts.admin.keys.issuing import IssueServiceKey
from accounts.admin.keys.limiting import ChangeLimits
from accounts.admin.keys.revoking import REVOKE, RevokeKey, revoke_selected
from accounts.admin.keys.search import KeySearch, keys_with_prefix
from accounts.models import ApiKey, User
from config.backoffice.acting import Acting
from config.backoffice.credits import shown
from config.backoffice.filters import ConditionFilter, CustomerFilter
from config.backoffice.read_only import ReadOnlyAdmin


def status_of(key: ApiKey, now: dt.datetime) -> str:
    """Return a short label for whether a key works and, if not, why."""
    if key.revoked_at is not None:
        return "Revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "Expired"
    if key.user is not None and not key.user.is_active:
        return "Owner deactivated"
    return "Live"


class StatusFilter(ConditionFilter):
    title = "status"
    parameter_name = "status"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        now, is_unrevoked = timezone.now(), Q(revoked_at=None)
        is_unexpired = Q(expires_at=None) | Q(expires_at__gt=now)
        is_owned = Q(user=None) | Q(user__is_active=True)
        return {
            "live": ("Live", is_unexpired & is_owned & is_unrevoked),
            "expired": ("Expired", is_unrevoked & Q(expires_at__lte=now)),
            "revoked": ("Revoked", Q(revoked_at__isnull=False)),
        }


class UseFilter(ConditionFilter):
    title = "last use"
    parameter_name = "used"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        now, is_unused = timezone.now(), Q(last_used_at=None)
        return {
            "day": ("In the last 24 hours", Q(last_used_at__gte=now - dt.timedelta(days=1))),
            "idle": ("Not in the last 90 days", is_unused | Q(last_used_at__lt=now - dt.timedelta(days=90))),
            "never": ("Never", is_unused),
        }


class ApiKeyAdmin(Acting, KeySearch, ReadOnlyAdmin):
    """The public parts of every key. Hashes are never shown."""

    staff_actions = (ChangeLimits, RevokeKey)
    list_display = ("public_part", "owner", "status", "name", "last_used_at", "scope_names", "expires_at", "created_at")
    list_display_links = ("public_part",)
    list_select_related = ("user",)
    list_filter = (CustomerFilter, StatusFilter, UseFilter)
    search_fields = ("prefix", "user__email", "name")
    search_help_text = "A key's prefix, or the whole key; part of the owner's email or of the key's name."
    ordering = ("-id",)
    actions = ("revoke",)
    fields = (
        "public_part", "name", "owner", "scope_names", "status",
        "created_at", "last_used_at", "expires_at", "revoked_at", "calls_a_minute", "spending",
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        issuing = path("issue/", self.admin_site.admin_view(self.issue), name="accounts_apikey_issue")
        return [issuing, *super().get_urls()]

    def issue(self, request: HttpRequest) -> HttpResponse:
        """Issue a key for one of the company's own services."""
        return IssueServiceKey.view(request, target=ApiKey(), site=self.admin_site)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        offered = {"may_issue_service_key": request.user.has_perm(IssueServiceKey.permission)}
        return super().changelist_view(request, {**offered, **(extra_context or {})})

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REVOKE)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        keys = keys_with_prefix(search_term.strip())
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        return (found if keys is None else found | queryset.filter(keys)), may_have_duplicates

    @admin.display(description="key")
    def public_part(self, key: ApiKey) -> str:
        return str(key)

    @admin.display(description="owner", empty_value="(service key)")
    def owner(self, key: ApiKey) -> User | None:
        return key.user

    @admin.display(description="scopes")
    def scope_names(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="calls a minute")
    def calls_a_minute(self, key: ApiKey) -> str:
        if key.rate_limit_per_minute is not None:
            return f"{key.rate_limit_per_minute:,}"
        return "as many as it likes" if key.user_id is None else "the site's default"

    @admin.display(description="spending limit")
    def spending(self, key: ApiKey) -> str:
        if key.spending_limit is None:
            return "none"
        return f"{shown(key.spending_limit)} credits, counted anew on day {key.spending_reset_day} of each month"

    @admin.display(description="status")
    def status(self, key: ApiKey) -> str:
        return status_of(key, timezone.now())

    @admin.action(description="Revoke selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Ask for a reason, then revoke the keys permanently, all or none."""
        return revoke_selected(request, queryset, self.admin_site)
