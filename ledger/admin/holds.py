"""Holds: credits set aside, to be looked at."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString

from config.backoffice.credits import shown
from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.models import Hold, HoldStatus


@admin.register(Hold)
class HoldAdmin(ExactSearch, ReadOnlyAdmin):
    list_display = (
        "id", "customer", "shown_credits", "shown_captured", "state", "expires_at", "created_at", "reference",
    )  # fmt: skip
    list_select_related = ("user",)
    list_filter = (CustomerFilter, "status")
    search_fields = ("reference", "idempotency_key")
    search_help_text = "A hold's id, a reference, an idempotency key, or a customer's email: all of it."
    ordering = ("-id",)
    fields = (
        "id", "customer", "created_at", "shown_credits", "shown_captured", "state", "expires_at", "settled_at",
        "reference", "metadata", "idempotency_key",
    )  # fmt: skip

    @admin.display(description="customer")
    def customer(self, hold: Hold) -> SafeString:
        return page_link("accounts_user", hold.user_id, hold.user)

    @admin.display(description="credits")
    def shown_credits(self, hold: Hold) -> str:
        return shown(hold.credits)

    @admin.display(description="captured")
    def shown_captured(self, hold: Hold) -> str:
        return shown(hold.captured)

    @admin.display(description="state")
    def state(self, hold: Hold) -> str:
        """Say where it stands now: one that has run out holds nothing, though its row may still say open."""
        if hold.status == HoldStatus.OPEN and hold.expires_at <= timezone.now():
            return "Expired (not yet settled)"
        return HoldStatus(hold.status).label
