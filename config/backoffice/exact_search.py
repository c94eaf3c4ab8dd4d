"""Search of long tables by what support is given: an id, a reference, a key, a customer's email."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower
from django.http import HttpRequest

from config.backoffice.filters import as_id
from config.backoffice.model_admin import ModelAdmin


class ExactSearch(ModelAdmin):
    """Finds rows whose id, or one of `search_fields`, is exactly the term; an email finds its customer's rows."""

    most_found = 1_000

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        customers = customers_with_email(term) if "@" in term else []
        if customers:
            return queryset.filter(user_id__in=customers), False
        # One pass over the table, whose few results then serve the count and the page alike.
        found = queryset.filter(self.wanted(term)).order_by().values_list("pk", flat=True)[: self.most_found]
        return queryset.filter(pk__in=list(found)), False

    def wanted(self, term: str) -> Q:
        """Say which rows a term means."""
        wanted = Q()
        for field in self.search_fields:
            wanted |= Q((field, term))
        named = as_id(term)
        return wanted if named is None else wanted | Q(pk=named)


def customers_with_email(email: str) -> list[int]:
    """Find the ids of the people with this address (one, or none), as the unique index compares it."""
    people = get_user_model()._default_manager.alias(email_lower=Lower("email"))
    return list(people.filter(email_lower=Lower(Value(email))).values_list("pk", flat=True))
