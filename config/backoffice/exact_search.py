"""Search of long tables by exact values: an id, a reference, a key, a customer's email.

No search reads a whole table. An id is found by its index, and so are the values of `found_by_index`; anything else
is searched among one customer's rows, in the dates that the list is narrowed to, or else among the latest rows.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest

from config.backoffice.dates import is_narrowed_by
from config.backoffice.filters import CustomerFilter, as_id
from config.backoffice.model_admin import ModelAdmin

LATEST = 100_000


class ExactSearch(ModelAdmin):
    """Find rows whose id, or one of `search_fields`, is exactly the term; an email finds its customer's rows.

    An email before or after a term narrows the search to its customer: `alice@example.com pay-123`.
    """

    most_found = 1_000

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        customers, term = customers_in(search_term.strip())
        if customers is not None:
            queryset = queryset.filter(user_id__in=customers)
        if not term:
            return queryset, False
        chosen = as_id(request.GET.get(CustomerFilter.parameter_name, ""))
        if customers is None and chosen is not None:
            customers = [chosen]
        looked_at = queryset.filter(self.wanted(term))
        if not is_narrowed_by(request, self.date_hierarchy):
            looked_at = self.latest(looked_at, customers)
        # One pass over the table; its few results serve both the count and the page.
        looked_up = looked_at.order_by().values_list("pk", flat=True)[: self.most_found]
        return queryset.filter(pk__in={*self.found_by_index(term, customers), *looked_up}), False

    def wanted(self, term: str) -> Q:
        """Return the condition for the rows of a term, without those that `found_by_index` finds."""
        wanted = Q(pk__in=[])
        for field in self.search_fields:
            wanted |= Q((field, term))
        return wanted

    def found_by_index(self, term: str, customers: Collection[int] | None) -> list[int]:  # noqa: ARG002
        """Return the ids of rows that an index finds in the whole table."""
        named = as_id(term)
        return [] if named is None else [named]

    def latest(self, rows: QuerySet[Any], customers: Collection[int] | None) -> QuerySet[Any]:
        """Narrow to rows that can be scanned: one customer's, or else the latest of all."""
        if customers is not None:
            return rows
        newest = self.model._default_manager.aggregate(newest=Max("pk"))["newest"]
        return rows.filter(pk__gt=(newest or 0) - LATEST)


class IdSearch(ExactSearch):
    """Find rows only by their id or by their customer's email."""

    search_fields = ()

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:  # noqa: ARG002
        return ("pk",)  # turns the search form on; ExactSearch decides what it finds


def customers_with_email(email: str) -> list[int]:
    """Return the ids of the people with this address (one or none), as the unique index compares it."""
    people: Any = get_user_model()._default_manager
    return list(people.with_email(email).values_list("pk", flat=True))


def customers_in(term: str) -> tuple[list[int] | None, str]:
    """Split a customer's email from the rest of a term; None if it contains no known email."""
    words = term.split()
    for word in dict.fromkeys((*words[:1], *words[-1:])):
        customers = customers_with_email(word) if "@" in word else []
        if customers:
            rest = words[1:] if word == words[0] else words[:-1]
            return customers, " ".join(rest)
    return None, term
