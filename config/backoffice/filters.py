"""Filters of lists: by one of several conditions, or by another object."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from config.values.credits import LARGEST_ID


def as_id(text: str) -> int | None:
    """Parse an id that fits the database; None if it is not one."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(LARGEST_ID)):
        return None
    return int(text) if int(text) <= LARGEST_ID else None


class ConditionFilter(admin.SimpleListFilter):
    """Rows that meet one of several conditions; unknown values in the URL are ignored."""

    @abstractmethod
    def conditions(self) -> dict[str, tuple[str, Q]]:
        """Return the label and the condition of each choice."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(name, label) for name, (label, _) in self.conditions().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        value = self.value()
        chosen = None if value is None else self.conditions().get(value)
        return queryset if chosen is None else queryset.filter(chosen[1])


class LinkFilter(admin.SimpleListFilter):
    """Rows of one other object, set by a link from another page; the filter is shown only when set."""

    field: ClassVar[str]  # the rows' field with the other object's id

    @abstractmethod
    def others(self) -> QuerySet[Any]:
        """Return all objects that can be chosen."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        chosen = as_id(self.value() or "")
        if chosen is None:
            return []
        return [(str(chosen), str(other)) for other in self.others().filter(pk=chosen)]

    def has_output(self) -> bool:
        return self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        value = self.value()
        if value is None:
            return queryset
        chosen = as_id(value)
        return queryset.none() if chosen is None else queryset.filter(**{self.field: chosen})


class CustomerFilter(LinkFilter):
    """Rows of one customer."""

    title = "customer"
    parameter_name = "user"
    field = "user_id"

    def others(self) -> QuerySet[Any]:
        return get_user_model()._default_manager.all()
