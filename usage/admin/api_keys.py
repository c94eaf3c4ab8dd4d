"""The page of an API key, with what was spent by it: `accounts` knows the limit, but not the spending."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin.keys.api_keys import ApiKeyAdmin
from accounts.models import ApiKey
from config.backoffice.credits import shown
from usage.selectors import spending_of_key


@admin.register(ApiKey)
class SpendingKeyAdmin(ApiKeyAdmin):
    """API keys. What a key has spent of its limit is shown to staff who may view requests."""

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        fields = super().get_fields(request, obj)
        if obj is None or obj.spending_limit is None or not request.user.has_perm("usage.view_requestlog"):
            return fields
        return (*fields, "spent")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "spent")

    @admin.display(description="spent of it")
    def spent(self, key: ApiKey) -> str:
        spent = spending_of_key(key, now=timezone.now())
        return (
            f"{shown(spent.credits)} credits since {spent.began_on}, anew on {spent.resets_on}; "
            "keys that it replaces or is replaced by are included"
        )
