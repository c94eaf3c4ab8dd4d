"""Pagination by `limit` and `offset`, or by `cursor` at a constant cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from simplejson import RawJSON

from config.http.page_sources import PageSource, QuerySetSource
from config.http.parameters import LARGEST_NUMBER, HasQuery, strict_parameters, whole_number
from config.values.cursors import LONGEST_CURSOR, BrokenCursor, open_cursor, seal_cursor
from config.values.json import exact_json

if TYPE_CHECKING:  # views.py itself imports what the settings name
    from rest_framework.views import APIView

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 100
_CSV_CHUNK = 1000


class StrictLimitOffsetPagination(BasePagination):
    """Returns `{"count", "next", "previous", "results", "next_cursor"}` and refuses invalid parameters."""

    count_schema: ClassVar[dict[str, Any]] = {
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "How many the filters select in all; null where counting would take too long.",
    }

    request: Request
    source: PageSource
    limit: int
    offset: int
    count: int | None
    next_cursor: str | None
    by_cursor: bool

    def paginate_queryset(
        self,
        queryset: Any,
        request: Request,
        view: APIView | None = None,  # noqa: ARG002
    ) -> list[Any]:
        """Return the items of the requested page, from a queryset or a PageSource.

        :raises ValidationError: naming `limit`, `offset` or `cursor`
        """
        self.request = request
        self.source = QuerySetSource(queryset) if isinstance(queryset, QuerySet) else queryset
        given = strict_parameters(request, {"limit", "offset", "cursor"})
        self.limit = whole_number(given, "limit", default=DEFAULT_LIMIT, least=1, most=LARGEST_LIMIT)
        self.offset = whole_number(given, "offset", default=0, least=0)
        self.by_cursor = "cursor" in given
        if self.by_cursor and "offset" in given:
            raise ValidationError({"cursor": ["Give either cursor or offset, not both."]})
        items = self._items_after(given["cursor"]) if self.by_cursor else self._items_at_offset()
        page = list(items[: self.limit])
        self.next_cursor = self._seal(page[-1]) if page and self._has_more(len(items), len(page)) else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "count": self.count,
                "next": self.get_next_link(),
                "previous": self.get_previous_link(),
                "results": data,
                "next_cursor": self.next_cursor,
            }
        )

    def printed(self, results: str) -> str:
        """Return the same response as JSON text, around results that are JSON text already."""
        around = {
            "count": self.count,
            "next": self.get_next_link(),
            "previous": self.get_previous_link(),
            "results": RawJSON(results),
            "next_cursor": self.next_cursor,
        }
        return exact_json(around)

    def get_next_link(self) -> str | None:
        if self.next_cursor is None:
            return None
        if self.by_cursor:
            return self._link(cursor=self.next_cursor)
        following = self.offset + self.limit
        return self._link(limit=self.limit, offset=following) if following <= LARGEST_NUMBER else None

    def get_previous_link(self) -> str | None:
        if self.by_cursor or self.offset == 0:
            return None  # a cursor only goes forward
        return self._link(limit=self.limit, offset=max(self.offset - self.limit, 0) or None)

    def get_results(self, data: Any) -> Any:
        return data["results"]

    def _items_at_offset(self) -> Sequence[Any]:
        self.count = self.source.count()
        if self.count is None:
            return self.source.page(limit=self.limit + 1, offset=self.offset)
        return self.source.page(limit=self.limit, offset=self.offset) if self.offset < self.count else []

    def _items_after(self, cursor: str) -> Sequence[Any]:
        try:
            items = self.source.after(open_cursor(cursor, of=self.request.path), limit=self.limit + 1)
        except BrokenCursor:
            raise ValidationError({"cursor": ["This is not a cursor that this list has given out."]}) from None
        self.count = self.source.count()
        return items

    def _has_more(self, fetched: int, shown: int) -> bool:
        if self.by_cursor or self.count is None:
            return fetched > shown
        return self.offset + shown < self.count

    def _seal(self, item: Any) -> str:
        return seal_cursor(self.source.position_of(item), of=self.request.path)

    def _link(self, **changes: Any) -> str:
        query = self.request.query_params.copy()
        for name, value in changes.items():
            if value is None:
                query.pop(name, None)
            else:
                query[name] = str(value)
        path = self.request.path + (f"?{query.urlencode()}" if query else "")
        return self.request.build_absolute_uri(path)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        url = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["count", "next", "previous", "results", "next_cursor"],
            "properties": {
                "count": self.count_schema,
                "next": {**url, "description": "The next page, filters kept."},
                "previous": {**url, "description": "The page before, filters kept."},
                "results": schema,
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "Give it as `cursor` to go on from here at the same cost; null at the end.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:  # noqa: ARG002
        return [
            _parameter("limit", "How many items to return.", minimum=1, maximum=LARGEST_LIMIT, default=DEFAULT_LIMIT),
            _parameter("offset", "How many items to skip.", minimum=0, maximum=LARGEST_NUMBER, default=0),
            _parameter("cursor", "`next_cursor` of the page before; not with offset.", maxLength=LONGEST_CURSOR),
        ]


class LongListPagination(StrictLimitOffsetPagination):
    """For lists that can be too long to count: `count` is null then."""

    count_schema: ClassVar[dict[str, Any]] = {
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "How many the filters select in all; null where counting would take too long.",
    }


def csv_items(request: HasQuery, source: QuerySet[Any] | PageSource) -> Iterator[Any]:
    """Return the items of a list's CSV, fetched in chunks, so that any number streams in little memory.

    :raises ValidationError: naming `limit` or `offset`; at once, not when the first item is read
    """
    limit, offset = csv_bounds(request)
    pages = QuerySetSource(source) if isinstance(source, QuerySet) else source
    items = _walk(pages, offset)
    return items if limit is None else islice(items, limit)


def csv_bounds(request: HasQuery) -> tuple[int | None, int]:
    """Return `(limit, offset)` for a CSV: everything that the filter selects unless the caller limits it.

    :raises ValidationError: naming `limit` or `offset`
    """
    given = strict_parameters(request, {"limit", "offset"})
    limit = whole_number(given, "limit", default=0, least=1, most=LARGEST_LIMIT) or None
    return limit, whole_number(given, "offset", default=0, least=0)


def _walk(source: PageSource, offset: int) -> Iterator[Any]:
    items = source.page(limit=_CSV_CHUNK, offset=offset)
    while items:
        yield from items
        items = source.after(source.position_of(items[-1]), limit=_CSV_CHUNK)


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    kind = "string" if "maxLength" in schema else "integer"
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": kind, **schema},
    }
