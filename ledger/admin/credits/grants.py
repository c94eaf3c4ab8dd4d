"""Grants of credits, read-only, with what staff have changed of each; buttons end or extend one."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from config.backoffice.acting import Acting
from config.backoffice.credits import NOTHING, shown
from config.backoffice.exact_search import IdSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from config.backoffice.times import shown_at
from ledger.admin.credits.grant_terms import EndGrant, ExtendGrant, description_of
from ledger.models import Grant, GrantStatus, GrantTermsChange

MOST_CHANGES = 100


@admin.register(Grant)
class GrantAdmin(Acting, IdSearch, OfCustomers, ReadOnlyAdmin):
    """Grants as last settled: at an expiry, at a refund, or when the customer asked for the list."""

    staff_actions = (EndGrant, ExtendGrant)
    list_display = (
        "entry_id", "customer", "shown_amount", "shown_remaining", "shown_expired", "category", "priority",
        "expires_at", "state", "created_at",
    )  # fmt: skip
    list_filter = (CustomerFilter, "category")
    search_help_text = "The id of the entry that opened it, or the customer's email, in full."
    ordering = ("-entry_id",)
    fields = (
        "entry", "customer", "created_at", "shown_amount", "shown_remaining", "shown_expired", "category", "priority",
        "effective_at", "expires_at", "expired_at", "state", "changes",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Grant]:
        grants: QuerySet[Grant] = super().get_queryset(request)
        return grants.as_of(timezone.now())  # type: ignore[attr-defined, no-any-return]

    @admin.display(description="amount")
    def shown_amount(self, grant: Grant) -> str:
        return shown(grant.amount)

    @admin.display(description="left when last settled")
    def shown_remaining(self, grant: Grant) -> str:
        return shown(grant.remaining)

    @admin.display(description="expired")
    def shown_expired(self, grant: Grant) -> str:
        return shown(grant.expired)

    @admin.display(description="changes by staff")
    def changes(self, grant: Grant) -> SafeString | str:
        changes = GrantTermsChange.objects.filter(user_id=grant.user_id, grant_id=grant.pk).select_related("actor")
        lines = (
            (shown_at(change.created_at), change.actor, description_of(change), change.note)
            for change in changes.order_by("-pk")[:MOST_CHANGES]
        )
        return format_html_join("", "<div>{} by {}: {}. {}</div>", lines) or NOTHING

    @admin.display(description="state")
    def state(self, grant: Grant) -> str:
        return GrantStatus(grant.status_now).label  # type: ignore[attr-defined]
