"""The Account API's credits and ledger."""

from __future__ import annotations

from itertools import islice
from typing import Any, cast

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from accounts.models import User
from accounts.serializers import ErrorSerializer, FieldErrorsSerializer
from config.http.csv import csv_answer
from config.http.pagination import csv_bounds
from config.http.parameters import strict_filters, wants_csv
from ledger.filters import LedgerFilter
from ledger.models import Entry
from ledger.selectors import LedgerPages, balance_of, ledger_of
from ledger.serializers import CreditBalanceSerializer, EntrySerializer

REFUSALS: dict[Any, Any] = {401: ErrorSerializer, 429: ErrorSerializer}


class CreditsViewSet(ViewSet):
    """What the customer has."""

    @extend_schema(
        operation_id="credits",
        summary="Credit balance",
        description="Balance, reserved and available credits at one moment.",
        tags=["account"],
        responses={200: CreditBalanceSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request) -> Response:
        return Response(CreditBalanceSerializer(balance_of(user_id=cast(User, request.user).pk)).data)


CSV_HEADER = ("id", "created_at", "type", "amount", "balance_after", "description", "reference", "metadata")


class LedgerViewSet(GenericViewSet[Entry]):
    """How the customer's balance came to be, newest first."""

    serializer_class = EntrySerializer
    filterset_class = LedgerFilter
    queryset = Entry.objects.none()  # the pages come from a selector that neither counts nor skips rows

    @extend_schema(
        operation_id="ledger",
        summary="Credit ledger",
        description="Every change of the balance, newest first. A hold is no entry until it is captured.",
        tags=["account"],
        parameters=[
            OpenApiParameter(
                "format", str, enum=["json", "csv"], description="`csv` streams all that the filters select."
            )
        ],
        responses={
            (200, "application/json"): EntrySerializer(many=True),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="The same entries, one a line."),
            400: FieldErrorsSerializer,
            **REFUSALS,
        },
    )
    def list(self, request: Request) -> Response | StreamingHttpResponse:
        pages = self._pages(request)
        if wants_csv(request):
            return self._csv(request, pages)
        entries = self.paginate_queryset(cast(Any, pages))  # a PageSource serves as well as a queryset
        return self.get_paginated_response(self.get_serializer(entries, many=True).data)

    def _pages(self, request: Request) -> LedgerPages:
        strict_filters(request, LedgerFilter)
        filters = LedgerFilter(request.query_params, queryset=Entry.objects.none())
        if not filters.is_valid():
            raise ValidationError(filters.errors)
        asked = filters.form.cleaned_data
        return ledger_of(
            user_id=cast(User, request.user).pk,
            type=asked["type"] or None,
            reference=asked["reference"] or None,
            start=asked["from"],
            end=asked["to"],
        )

    def _csv(self, request: Request, pages: LedgerPages) -> StreamingHttpResponse:
        limit, offset = csv_bounds(request)
        entries = islice(pages.every(), offset, None if limit is None else offset + limit)
        return csv_answer(
            filename="ledger.csv",
            header=CSV_HEADER,
            rows=([getattr(entry, name) for name in CSV_HEADER] for entry in entries),
        )
