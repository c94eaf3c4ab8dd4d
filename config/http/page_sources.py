"""Where a page comes from: a queryset, or anything that can count itself and give a slice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from config.http.cursors import BrokenCursor


@runtime_checkable
class PageSource(Protocol):
    """A list, newest first, that a selector knows how to count and cut cheaply."""

    def count(self) -> int | None:
        """Count what the filters select; None where that would take too long."""
        ...

    def page(self, *, limit: int, offset: int) -> Sequence[Any]:
        """Give at most `limit` items from the `offset`-th on."""
        ...

    def after(self, position: list[Any], *, limit: int) -> Sequence[Any]:
        """Give at most `limit` items that follow a position; its cost must not grow with depth.

        :raises BrokenCursor: if the position's values are not of this list's kind
        """
        ...

    def position_of(self, item: Any) -> list[Any]:
        """Name an item's place by JSON values, such as `[seq]`, for `after`."""
        ...


class QuerySetSource:
    """A queryset as a page source: keyset pagination over its explicit ordering, ties broken by id."""

    def __init__(self, queryset: QuerySet[Any]) -> None:
        fields = [str(name) for name in queryset.query.order_by] or ["-pk"]
        if not {"pk", "id"} & {name.lstrip("-") for name in fields}:
            fields.append("-pk" if fields[0].startswith("-") else "pk")
        self._fields = fields
        self._queryset = queryset.order_by(*fields)

    def count(self) -> int:
        return self._queryset.count()

    def page(self, *, limit: int, offset: int) -> Sequence[Any]:
        return list(self._queryset[offset : offset + limit])

    def after(self, position: list[Any], *, limit: int) -> Sequence[Any]:
        if len(position) != len(self._fields):
            raise BrokenCursor
        values = [self._column_value(name, value) for name, value in zip(self._fields, position, strict=True)]
        return list(self._queryset.filter(self._behind(values))[:limit])

    def position_of(self, item: Model) -> list[Any]:
        return [_json_value(getattr(item, name.lstrip("-"))) for name in self._fields]

    def _behind(self, values: list[Any]) -> Q:
        """Say "later than this position": each column decides only among equals of those before it."""
        condition = Q()
        for name, value in reversed(list(zip(self._fields, values, strict=True))):
            column = name.lstrip("-")
            beyond = Q(**{f"{column}__{'lt' if name.startswith('-') else 'gt'}": value})
            condition = beyond | (Q(**{column: value}) & condition) if condition else beyond
        leading = self._fields[0]
        bound = f"{leading.lstrip('-')}__{'lte' if leading.startswith('-') else 'gte'}"
        return Q(**{bound: values[0]}) & condition  # the bound alone is what an index can use

    def _column_value(self, name: str, value: Any) -> Any:
        options = self._queryset.model._meta
        column = name.lstrip("-")
        field = options.pk if column == "pk" else options.get_field(column)
        if value is None:
            raise BrokenCursor
        try:
            return field.to_python(value)
        except (ValidationError, TypeError, ValueError):
            raise BrokenCursor from None


def _json_value(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
