"""Where a page comes from: a queryset, or anything that can count itself and give a slice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from config.db.counting import MOST_COUNTED, counted
from config.db.statements import Place, Statement
from config.http.rows import PrintedRows
from config.values.cursors import BrokenCursor


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

    def count(self) -> int | None:
        return counted(self._queryset)

    def page(self, *, limit: int, offset: int) -> Sequence[Any]:
        return list(self._queryset[offset : offset + limit])

    def after(self, position: list[Any], *, limit: int) -> Sequence[Any]:
        return list(self._queryset.filter(self._behind(self.column_values(position)))[:limit])

    def position_of(self, item: Model) -> list[Any]:
        return [json_value(getattr(item, name.lstrip("-"))) for name in self._fields]

    def column_values(self, position: list[Any]) -> list[Any]:
        """Give a position's values as those of its columns.

        :raises BrokenCursor: if they are not
        """
        if len(position) != len(self._fields):
            raise BrokenCursor
        return [self._column_value(name, value) for name, value in zip(self._fields, position, strict=True)]

    def statements(self, rows: PrintedRows) -> tuple[Statement, Statement, Statement]:
        """Give what counts the list, what reads a page at an offset, and what reads one behind a position.

        A row has its columns printed, then those of its position.
        """
        columns = [*rows.as_texts(), *(name.lstrip("-") for name in self._fields)]
        listed = self._queryset.values_list(*columns)
        behind = listed.filter(self._behind([Place(f"position_{i}") for i in range(len(self._fields))]))
        counted = Statement.of(self._queryset.order_by().values_list("pk")).counted(most=MOST_COUNTED)
        return counted, Statement.of(listed).cut(), Statement.of(behind).cut()

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


class PreparedPages:
    """A list that is the same for everybody but for its values: its statements are built once, its pages are rows.

    The list is a queryset in which Places stand for the values; a row is printed by `rows`.
    """

    def __init__(self, queryset: QuerySet[Any], rows: PrintedRows) -> None:
        self._source = QuerySetSource(queryset)
        self._width = len(rows.columns)
        self._count, self._page, self._after = self._source.statements(rows)

    def of(self, **values: Any) -> _PagesOf:
        """Give the list of these values."""
        return _PagesOf(self, values)

    def count(self, values: Mapping[str, Any]) -> int | None:
        ((count,),) = self._count.read(values)
        return int(count) if count <= MOST_COUNTED else None

    def page(self, values: Mapping[str, Any], *, limit: int, offset: int) -> Sequence[Any]:
        return self._page.read({**values, "limit": limit, "offset": offset})

    def after(self, values: Mapping[str, Any], position: list[Any], *, limit: int) -> Sequence[Any]:
        at = {f"position_{i}": value for i, value in enumerate(self._source.column_values(position))}
        return self._after.read({**values, **at, "limit": limit, "offset": 0})

    def position_of(self, row: Sequence[Any]) -> list[Any]:
        return [json_value(value) for value in row[self._width :]]


@dataclass(frozen=True)
class _PagesOf:
    """Prepared pages with their values: a page source."""

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
