"""Filters that several lists share."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest

from config.values.credits import LARGEST_ID


def as_id(text: str) -> int | None:
    """Read an id as the database could hold it; None if this is none."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(LARGEST_ID)):
        return None
    return int(text) if int(text) <= LARGEST_ID else None


class CustomerFilter(admin.SimpleListFilter):
    """Rows of one customer, chosen by a link from elsewhere: shown only then, to be taken off again."""

    title = "customer"
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        chosen = as_id(self.value() or "")
        if chosen is None:
            return []
        people = get_user_model()._default_manager.filter(pk=chosen)
        return [(str(chosen), str(person)) for person in people]

    def has_output(self) -> bool:
        return self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        value = self.value()
        if value is None:
            return queryset
        chosen = as_id(value)
        return queryset.none() if chosen is None else queryset.filter(user_id=chosen)
