"""The Account API's credits, ledger, holds and grants."""

from __future__ import annotations

from typing import Any, cast

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.models import User
from accounts.serializers import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from config.http.csv import csv_answer
from config.http.lean import LeanAnswer, LeanRequest, LeanViewSet
from config.http.pagination import csv_items
from config.http.parameters import choice, path_number, strict_filters, strict_parameters, wants_csv
from ledger.filters import LedgerFilter
from ledger.models import Entry, Grant, Hold, HoldStatus
from ledger.selectors import LedgerPages, balance_of, grants_of, holds_of, ledger_of
from ledger.serializers import (
    AccountHoldSerializer,
    CreditBalanceSerializer,
    EntrySerializer,
    GrantSerializer,
    balance_answer,
)
from ledger.services.expiry import expire_holds
from ledger.services.grants import settle_grants

FORMAT = OpenApiParameter("format", str, enum=["json", "csv"], description="`csv` streams all that the filters select.")


class CreditsViewSet(LeanViewSet):
    """What the customer has."""

    @extend_schema(
        operation_id="credits",
        summary="Credit balance",
        description="Balance, reserved and available credits at one moment.",
        tags=["account"],
        responses={200: CreditBalanceSerializer, **REFUSALS},
    )
    def retrieve(self, request: LeanRequest) -> LeanAnswer:
        return LeanAnswer(balance_answer(balance_of(user_id=request.user.pk)))


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
        parameters=[FORMAT],
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
            rows = ([getattr(entry, name) for name in CSV_HEADER] for entry in csv_items(request, pages))
            return csv_answer(filename="ledger.csv", header=CSV_HEADER, rows=rows)
        entries = self.paginate_queryset(cast(Any, pages))  # a PageSource serves as well as a queryset
        return self.get_paginated_response(self.get_serializer(entries, many=True).data)

    @extend_schema(
        operation_id="ledger_entry",
        summary="One ledger entry",
        description="The same fields as in the list.",
        tags=["account"],
        parameters=[OpenApiParameter("id", OpenApiTypes.INT64, OpenApiParameter.PATH, description="The entry's id.")],
        responses={200: EntrySerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request, id: str) -> Response:
        entry = get_object_or_404(Entry.objects.of(cast(User, request.user).pk), pk=path_number(id))
        return Response(EntrySerializer(entry).data)

    def _pages(self, request: Request) -> LedgerPages:
        strict_filters(request, LedgerFilter)
        filters = LedgerFilter(request.query_params, queryset=Entry.objects.none())
        if not filters.is_valid():
            raise ValidationError(filters.errors)
        asked = filters.form.cleaned_data
        user_id = cast(User, request.user).pk
        wanted = {
            "type": asked["type"] or None,
            "reference": asked["reference"] or None,
            "start": asked["from"],
            "end": asked["to"],
        }
        pages = ledger_of(user_id=user_id, **wanted)
        if pages.is_behind:
            expire_holds(user_id=user_id)
            pages = ledger_of(user_id=user_id, **wanted)
        return pages


HOLDS_CSV_HEADER = (
    "id", "created_at", "status_now", "credits", "captured", "expires_at", "settled_at_now", "reference", "metadata"
)  # fmt: skip


class HoldsViewSet(GenericViewSet[Hold]):
    """Credits that are, or were, set aside for work under way."""

    serializer_class = AccountHoldSerializer
    queryset = Hold.objects.none()  # each call narrows to the customer's own
    filter_backends = ()

    @extend_schema(
        operation_id="holds",
        summary="Holds",
        description="Open and closed holds, newest first. A hold that has run out is expired from that very moment.",
        tags=["account"],
        parameters=[
            OpenApiParameter("status", str, enum=HoldStatus.values, description="Only holds of this status."),
            FORMAT,
        ],
        responses={
            (200, "application/json"): AccountHoldSerializer(many=True),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="The same holds, one a line."),
            400: FieldErrorsSerializer,
            **REFUSALS,
        },
    )
    def list(self, request: Request) -> Response | StreamingHttpResponse:
        asked = choice(strict_parameters(request, {"status"}), "status", HoldStatus.values, default="")
        holds = holds_of(user_id=cast(User, request.user).pk, now=timezone.now(), status=asked or None)
        if wants_csv(request):
            rows = ([getattr(hold, name) for name in HOLDS_CSV_HEADER] for hold in csv_items(request, holds))
            header = [name.removesuffix("_now") for name in HOLDS_CSV_HEADER]
            return csv_answer(filename="holds.csv", header=header, rows=rows)
        page = self.paginate_queryset(holds)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


GRANTS_CSV_HEADER = (
    "entry_id", "entry_id", "amount", "remaining", "category", "priority", "effective_at", "expires_at", "created_at",
    "status_now",
)  # fmt: skip


class GrantsViewSet(GenericViewSet[Grant]):
    """The lots that the customer's credits came in."""

    serializer_class = GrantSerializer
    queryset = Grant.objects.none()  # each call narrows to the customer's own
    filter_backends = ()

    @extend_schema(
        operation_id="grants",
        summary="Grants",
        description="Lots of credits and what is left of each, newest first. They are spent by priority, then the one "
        "that expires soonest, promotional before paid, effective first, id. What is left when a lot expires is gone "
        "from that very moment, except what an open hold had reserved: that stays until the hold ends.",
        tags=["account"],
        parameters=[FORMAT],
        responses={
            (200, "application/json"): GrantSerializer(many=True),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="The same lots, one a line."),
            400: FieldErrorsSerializer,
            **REFUSALS,
        },
    )
    def list(self, request: Request) -> Response | StreamingHttpResponse:
        user_id = cast(User, request.user).pk
        settle_grants(user_id=user_id)
        grants = grants_of(user_id=user_id, now=timezone.now())
        if wants_csv(request):
            rows = ([getattr(grant, name) for name in GRANTS_CSV_HEADER] for grant in csv_items(request, grants))
            header = ["id", *(name.removesuffix("_now") for name in GRANTS_CSV_HEADER[1:])]
            return csv_answer(filename="grants.csv", header=header, rows=rows)
        page = self.paginate_queryset(grants)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
