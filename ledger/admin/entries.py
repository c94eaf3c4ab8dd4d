"""Entries: every change of every balance, to be looked at."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from config.backoffice.credits import shown, shown_signed
from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.models import Entry


@admin.register(Entry)
class EntryAdmin(ExactSearch, ReadOnlyAdmin):
    list_display = (
        "id", "customer", "shown_amount", "shown_balance_after", "created_at", "reason", "reference", "description",
        "type", "seq",
    )  # fmt: skip
    list_select_related = ("user",)
    list_filter = (CustomerFilter, "type", "reason")
    search_fields = ("reference", "idempotency_key")
    search_help_text = "An entry's id, a reference, an idempotency key, or a customer's email: all of it."
    fields = (
        "id", "customer", "seq", "created_at", "type", "reason", "shown_amount", "shown_balance_after",
        "description", "reference", "metadata", "staff", "reversed_entry", "operation", "idempotency_key",
        "shown_seal",
    )  # fmt: skip

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Newest first, by the index that serves what is asked: one customer's entries have their own."""
        return ("-seq", "-id") if CustomerFilter.parameter_name in request.GET else ("-id",)

    @admin.display(description="customer")
    def customer(self, entry: Entry) -> SafeString:
        return page_link("accounts_user", entry.user_id, entry.user)

    @admin.display(description="amount")
    def shown_amount(self, entry: Entry) -> str:
        return shown_signed(entry.amount)

    @admin.display(description="balance after")
    def shown_balance_after(self, entry: Entry) -> str:
        return shown(entry.balance_after)

    @admin.display(description="posted by hand by")
    def staff(self, entry: Entry) -> SafeString | None:
        return None if entry.actor is None else page_link("accounts_user", entry.actor.pk, entry.actor)

    @admin.display(description="takes back")
    def reversed_entry(self, entry: Entry) -> SafeString | None:
        return None if entry.reverses_id is None else page_link("ledger_entry", entry.reverses_id, entry.reverses_id)

    @admin.display(description="seal")
    def shown_seal(self, entry: Entry) -> str:
        return bytes(entry.seal).hex()
