"""Lists that are pages, or with `format=csv` one file: its contents and its OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from config.http.csv import csv_answer
from config.http.page_sources import PageSource
from config.http.pagination import csv_items
from config.http.parameters import HasQuery, wants_csv
from config.http.refusals import REFUSALS, FieldErrorsSerializer

Item = TypeVar("Item", bound=Model)

FORMAT = OpenApiParameter("format", str, enum=["json", "csv"], description="`csv` streams all that the filters select.")


def listed(serializer: type[serializers.BaseSerializer[Any]], noun: str) -> dict[Any, Any]:
    """Declare the OpenAPI responses of a list with a CSV file; `noun` names its items."""
    return {
        (200, "application/json"): serializer(many=True),
        (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description=f"The same {noun}, one a line."),
        400: FieldErrorsSerializer,
        **REFUSALS,
    }


class Sheet:
    """The CSV file of a list: its name, its columns, and each item's values in them.

    A column contains the item's attribute of its name, or of the name in `sources`. With `shown` it contains the value
    of its name in the dict that this function returns for the item.
    """

    def __init__(
        self,
        filename: str,
        columns: Sequence[str],
        *,
        sources: Mapping[str, str] | None = None,
        shown: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        self.filename, self.columns, self.shown = filename, tuple(columns), shown
        self._sources = [(sources or {}).get(column, column) for column in columns]

    def answer(self, request: HasQuery, items: QuerySet[Any] | PageSource) -> StreamingHttpResponse:
        """Stream the requested items.

        :raises ValidationError: naming `limit` or `offset`
        """
        rows = (self._row(item) for item in csv_items(request, items))
        return csv_answer(filename=self.filename, header=self.columns, rows=rows)

    def _row(self, item: Any) -> list[Any]:
        if self.shown is None:
            return [getattr(item, source) for source in self._sources]
        shown = self.shown(item)
        return [shown[column] for column in self.columns]


class ListViewSet(GenericViewSet[Item]):
    """A viewset with a list of a selector's items: a page, or the file that its `sheet` describes."""

    filter_backends = ()
    sheet: ClassVar[Sheet]

    def page_of(self, items: QuerySet[Item]) -> Response:
        """Return the requested page.

        :raises ValidationError: naming `limit`, `offset` or `cursor`
        """
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(items), many=True).data)

    def file_or_page_of(self, items: QuerySet[Item]) -> Response | StreamingHttpResponse:
        """Return the file if `format=csv` was requested, otherwise the page.

        :raises ValidationError: naming `format`, `limit`, `offset` or `cursor`
        """
        return self.sheet.answer(self.request, items) if wants_csv(self.request) else self.page_of(items)
