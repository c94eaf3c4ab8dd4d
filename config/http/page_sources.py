"""The source of a page: a queryset, or anything that can count its items and return a slice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from config.db.counting import MOST_COUNTED, counted, exact_count
from config.db.statements import Place, Statement
from config.http.rows import PrintedRows
from config.values.cursors import BrokenCursor


@runtime_checkable
class PageSource(Protocol):
    """A list, newest first, that can be counted and sliced cheaply."""

    def count(self) -> int | None:
        """Return the number of items that the filters select; None if counting would take too long."""
        ...

    def page(self, *, limit: int, offset: int) -> Sequence[Any]:
        """Return at most `limit` items from index `offset` on."""
        ...

    def after(self, position: list[Any], *, limit: int) -> Sequence[Any]:
        """Return at most `limit` items after a position; the cost must not grow with depth.

        :raises BrokenCursor: if the position's values do not fit this list
        """
        ...

    def position_of(self, item: Any) -> list[Any]:
        """Return an item's position as JSON values, such as `[seq]`, for `after`."""
        ...


class QuerySetSource:
    """A queryset as a page source: keyset pagination over its explicit ordering, ties broken by id."""

    def __init__(self, queryset: QuerySet[Any]) -> None:
        fields = [str(name) for name in queryset.query.order_by] or ["-pk"]
        if not {"pk", "id"} & {name.lstrip("-") for name in fields}:
            fields.append("-pk" if fields[0].startswith("-") else "pk")
        self._fields = fields
        self._queryset = queryset.order_by(*fields)

    def count(self) -> int | None:
        return counted(self._queryset)

    def page(self, *, limit: int, offset: int) -> Sequence[Any]:
        return list(self._queryset[offset : offset + limit])

    def after(self, position: list[Any], *, limit: int) -> Sequence[Any]:
        return list(self._queryset.filter(self._behind(self.column_values(position)))[:limit])

    def position_of(self, item: Model) -> list[Any]:
        return [json_value(getattr(item, name.lstrip("-"))) for name in self._fields]

    def column_values(self, position: list[Any]) -> list[Any]:
        """Return a position's values as values of its columns.

        :raises BrokenCursor: if they do not fit the columns
        """
        if len(position) != len(self._fields):
            raise BrokenCursor
        return [self._column_value(name, value) for name, value in zip(self._fields, position, strict=True)]

    def statements(self, rows: PrintedRows) -> tuple[Statement, Statement, Statement]:
        """Return the statements that count the list, read a page at an offset, and read one after a position.

        A row contains the printed columns, then those of its position.
        """
        columns = [*rows.as_texts(), *(name.lstrip("-") for name in self._fields)]
        listed = self._queryset.values_list(*columns)
        behind = listed.filter(self._behind([Place(f"position_{i}") for i in range(len(self._fields))]))
        counted = Statement.of(self._queryset.order_by().values_list("pk")).counted(most=MOST_COUNTED)
        return counted, Statement.of(listed).cut(), Statement.of(behind).cut()

    def _behind(self, values: list[Any]) -> Q:
        """Return the condition "after this position": each column decides only among equals of those before it."""
        condition = Q()
        for name, value in reversed(list(zip(self._fields, values, strict=True))):
            column = name.lstrip("-")
            beyond = Q(**{f"{column}__{'lt' if name.startswith('-') else 'gt'}": value})
            condition = beyond | (Q(**{column: value}) & condition) if condition else beyond
        leading = self._fields[0]
        bound = f"{leading.lstrip('-')}__{'lte' if leading.startswith('-') else 'gte'}"
        return Q(**{bound: values[0]}) & condition  # an index can only use the bound

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


class PreparedPages:
    """A list whose calls differ only in values: its statements are built once, its pages are rows.

    The list is a queryset with Places for the values; `rows` prints a row.
    """

    def __init__(self, queryset: QuerySet[Any], rows: PrintedRows) -> None:
        self._source = QuerySetSource(queryset)
        self._width = len(rows.columns)
        self._count, self._page, self._after = self._source.statements(rows)

    def of(self, **values: Any) -> _PagesOf:
        """Return the page source for these values."""
        return _PagesOf(self, values)

    def count(self, values: Mapping[str, Any]) -> int | None:
        ((count,),) = self._count.read(values)
        return exact_count(count)

    def page(self, values: Mapping[str, Any], *, limit: int, offset: int) -> Sequence[Any]:
        return self._page.read({**values, "limit": limit, "offset": offset})

    def after(self, values: Mapping[str, Any], position: list[Any], *, limit: int) -> Sequence[Any]:
        at = {f"position_{i}": value for i, value in enumerate(self._source.column_values(position))}
        return self._after.read({**values, **at, "limit": limit, "offset": 0})

    def position_of(self, row: Sequence[Any]) -> list[Any]:
        return [json_value(value) for value in row[self._width :]]


@dataclass(frozen=True)
class _PagesOf:
    """PreparedPages with values: a page source."""

    pages: PreparedPages
    values: Mapping[str, Any]

    def count(self) -> int | None:
        return self.pages.count(self.values)

    def page(self, *, limit: int, offset: int) -> Sequence[Any]:
        return self.pages.page(self.values, limit=limit, offset=offset)

    def after(self, position: list[Any], *, limit: int) -> Sequence[Any]:
        return self.pages.after(self.values, position, limit=limit)

    def position_of(self, row: Sequence[Any]) -> list[Any]:
        return self.pages.position_of(row)


def json_value(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
