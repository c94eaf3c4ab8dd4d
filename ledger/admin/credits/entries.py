"""Entries, read-only: every change of every balance."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from config.backoffice.acting import Acting
from config.backoffice.credits import NOTHING, shown, shown_signed
from config.backoffice.dates import ByDate, is_narrowed_by
from config.backoffice.exact_search import ExactSearch
from config.backoffice.exports import CustomersExport, Exportable, column
from config.backoffice.filters import CustomerFilter
from config.backoffice.links import page_link
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.admin.adjustments.reversing import ReverseEntry
from ledger.admin.credits.look_ups import entries_with_reference
from ledger.models import Entry

MOST_REVERSALS = 20


class EntryExport(CustomersExport):
    seq = column("seq")
    created_at = column("created_at")
    type = column("type")
    reason = column("reason")
    amount = column("amount")
    balance_after = column("balance_after")
    description = column("description")
    reference = column("reference")
    metadata = column("metadata")
    actor_id = column("actor_id")
    reverses_id = column("reverses_id")
    operation = column("operation")
    idempotency_key = column("idempotency_key")


class EntryAdmin(Acting, Exportable, ByDate, ExactSearch, OfCustomers, ReadOnlyAdmin):
    staff_actions = (ReverseEntry,)
    list_display = (
        "id", "customer", "shown_amount", "shown_balance_after", "created_at", "reason", "reference", "description",
        "type", "seq",
    )  # fmt: skip
    list_filter = (CustomerFilter, "type", "reason")
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    is_long = True
    search_fields = ("reference", "idempotency_key")
    search_help_text = (
        "An entry's id, a reference, or a customer's email, in full. Idempotency keys are found among the latest"
        " 100,000 entries, in chosen dates, or behind the customer's email."
    )
    resource_classes = (EntryExport,)
    fields = (
        "id", "customer", "seq", "created_at", "type", "reason", "shown_amount", "shown_balance_after",
        "description", "reference", "metadata", "staff", "asked_for", "reversed_entry", "reversed_by",
        "operation", "idempotency_key", "shown_seal",
    )  # fmt: skip

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Order newest first, by the index that fits the request: one customer's entries have their own."""
        if is_narrowed_by(request, self.date_hierarchy):
            return ("-created_at", "-id")
        return ("-seq", "-id") if CustomerFilter.parameter_name in request.GET else ("-id",)

    def found_by_index(self, term: str, customers: Collection[int] | None) -> list[int]:
        return [*super().found_by_index(term, customers), *entries_with_reference(term, customers)]

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

    @admin.display(description="reversed by")
    def reversed_by(self, entry: Entry) -> SafeString | str:
        found = Entry.objects.filter(reverses=entry.pk).order_by("pk").values_list("pk", "amount")[:MOST_REVERSALS]
        links = [(page_link("ledger_entry", pk, pk), shown_signed(amount)) for pk, amount in found]
        return format_html_join(", ", "{} ({})", links) or NOTHING

    @admin.display(description="asked for as")
    def asked_for(self, entry: Entry) -> SafeString | str:
        request_id = entry.metadata.get("adjustment_id") if entry.operation == "adjustment" else None
        return NOTHING if request_id is None else page_link("ledger_adjustmentrequest", request_id, request_id)

    @admin.display(description="seal")
    def shown_seal(self, entry: Entry) -> str:
        return bytes(entry.seal).hex()
