"""The read-only list of names in imported logs: the customer that a host or user name stands for."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib import admin

from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import CustomerFilter
from config.backoffice.of_customers import OfCustomers
from config.backoffice.read_only import ReadOnlyAdmin
from usage.models import ImportedCustomer
from usage.services.imports.customers import host_in_one_spelling


@admin.register(ImportedCustomer)
class ImportedCustomerAdmin(ExactSearch, OfCustomers, ReadOnlyAdmin):
    list_display = ("id", "source", "value", "customer", "created_at")
    list_filter = (CustomerFilter,)
    search_fields = ("value",)
    search_help_text = "The host or user name as the log has it, in any spelling, or the customer's email: all of it."
    ordering = ("-id",)
    fields = ("source", "value", "customer", "created_at")

    def found_by_index(self, term: str, customers: Collection[int] | None) -> list[int]:
        named = ImportedCustomer.objects.filter(value__in={term.lower(), host_in_one_spelling(term)})
        if customers is not None:
            named = named.filter(user_id__in=customers)
        found = named.values_list("pk", flat=True)[: self.most_found]
        return [*super().found_by_index(term, customers), *found]
