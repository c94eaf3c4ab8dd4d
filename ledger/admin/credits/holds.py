"""Holds, read-only: credits set aside. A button releases an open one."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib import admin
from django.db.models import Q
from django.utils import timezone

from config.backoffice.acting import Acting
from config.backoffice.credits import shown
from config.backoffice.dates import ByDate
from config.backoffice.exact_search import ExactSearch
from config.backoffice.exports import CustomersExport, Exportable, column
from config.backoffice.filters import ConditionFilter, CustomerFilter
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.admin.credits.look_ups import holds_with_key
from ledger.admin.credits.releasing import ReleaseHold
from ledger.models import Hold, HoldStatus


class OverdueFilter(ConditionFilter):
    title = "expiry"
    parameter_name = "expiry"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        now, is_open = timezone.now(), Q(status=HoldStatus.OPEN)
        return {
            "ahead": ("Still holds", is_open & Q(expires_at__gt=now)),
            "unsettled": ("Expired, not yet settled", is_open & Q(expires_at__lte=now)),
        }


class HoldExport(CustomersExport):
    credits = column("credits")
    captured = column("captured")
    status = column("status")
    created_at = column("created_at")
    expires_at = column("expires_at")
    settled_at = column("settled_at")
    reference = column("reference")
    metadata = column("metadata")
    idempotency_key = column("idempotency_key")


@admin.register(Hold)
class HoldAdmin(Acting, Exportable, ByDate, ExactSearch, OfCustomers, ReadOnlyAdmin):
    staff_actions = (ReleaseHold,)
    list_display = (
        "id", "customer", "shown_credits", "shown_captured", "state", "expires_at", "created_at", "reference",
    )  # fmt: skip
    list_filter = (CustomerFilter, "status", OverdueFilter)
    date_hierarchy = "created_at"
    dates_rise_with_ids = True
    search_fields = ("reference",)
    search_help_text = (
        "A hold's id, an idempotency key, or a customer's email, in full. References are found among the latest"
        " 100,000 holds, in chosen dates, or behind the customer's email."
    )
    resource_classes = (HoldExport,)
    ordering = ("-id",)
    fields = (
        "id", "customer", "created_at", "shown_credits", "shown_captured", "state", "expires_at", "settled_at",
        "reference", "metadata", "idempotency_key",
    )  # fmt: skip

    def found_by_index(self, term: str, customers: Collection[int] | None) -> list[int]:
        return [*super().found_by_index(term, customers), *holds_with_key(term, customers)]

    @admin.display(description="credits")
    def shown_credits(self, hold: Hold) -> str:
        return shown(hold.credits)

    @admin.display(description="captured")
    def shown_captured(self, hold: Hold) -> str:
        return shown(hold.captured)

    @admin.display(description="state")
    def state(self, hold: Hold) -> str:
        """Return the status now: an expired hold holds nothing, though its row may still say open."""
        if hold.status == HoldStatus.OPEN and hold.expires_at <= timezone.now():
            return "Expired (not yet settled)"
        return HoldStatus(hold.status).label
