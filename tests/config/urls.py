"""A test-only URLconf: small views that reach each rule of config.http without any app."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, connection
from django.http import Http404, HttpResponse
from django.urls import include, path
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.errors import InvalidCredentials
from config.http.csv import csv_answer
from config.http.fields import CreditsField
from config.http.pagination import StrictLimitOffsetPagination
from ledger.errors import InsufficientCredits


class FakeKey:
    def __init__(self, pk: int, user_id: int | None) -> None:
        self.pk, self.user_id = pk, user_id


class FakeKeys(BaseAuthentication):
    """`X-API-KEY: 7` is key 7 of a customer; `service` is a service key; anything else is refused."""

    def authenticate(self, request: Any) -> Any:
        sent = request.META.get("HTTP_X_API_KEY")
        if sent is None:
            return None
        if sent == "service":
            return None, FakeKey(1, None)
        if not sent.isdigit():
            raise AuthenticationFailed("Bad key.", code="api_key_invalid")
        return None, FakeKey(int(sent), 1)

    def authenticate_header(self, request: Any) -> str:
        return 'ApiKey realm="api"'


class OpenView(APIView):
    authentication_classes = (FakeKeys,)
    permission_classes = (AllowAny,)


class EchoSerializer(serializers.Serializer):
    credits = CreditsField()
    note = serializers.CharField(required=False, allow_blank=True)
    metadata = serializers.JSONField(required=False)
    lines = serializers.ListField(child=serializers.DictField(child=serializers.IntegerField()), required=False)


class EchoView(OpenView):
    def post(self, request):
        asked = EchoSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(asked.validated_data)

    def get(self, request):
        return Response({"credits": Decimal("1E+2"), "at": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)})


class BodyView(OpenView):
    def post(self, request):
        return Response(request.data)


class GuardedView(APIView):
    authentication_classes = (FakeKeys,)

    def get(self, request):
        return Response({})


class SignInView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self, request):
        raise InvalidCredentials


class RaisingView(OpenView):
    def get(self, request, what):
        if what == "credits":
            raise InsufficientCredits(Decimal("10.000000"), Decimal("5.000000"), Decimal(20), "held")
        if what == "integrity":
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO config_ratewindow VALUES (NULL, 1, 1)")
        if what == "timeout":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = '10ms'; SELECT pg_sleep(2)")
        raise {
            "bug": ZeroDivisionError("secret"),
            "missing": Http404("secret"),
            "denied": PermissionDenied("secret"),
            "away": InterfaceError("connection already closed"),
            "suspicious": SuspiciousOperation("secret"),
        }[what]


def plain_raising(request, what):
    raise {
        "bug": ZeroDivisionError("secret"),
        "missing": Http404("secret"),
        "denied": PermissionDenied("secret"),
        "away": InterfaceError("connection already closed"),
        "suspicious": SuspiciousOperation("secret"),
    }[what]


class Letters:
    """A page source without a database: 0 … 249, newest (largest) first."""

    def count(self) -> int:
        return 250

    def page(self, *, limit: int, offset: int) -> list[int]:
        return list(range(249, -1, -1))[offset : offset + limit]

    def after(self, position: list[Any], *, limit: int) -> list[int]:
        return list(range(position[0] - 1, -1, -1))[:limit]

    def position_of(self, item: int) -> list[Any]:
        return [item]


class ListView(OpenView):
    def get(self, request):
        paginator = StrictLimitOffsetPagination()
        return paginator.get_paginated_response(paginator.paginate_queryset(Letters(), request))


class CsvView(OpenView):
    def get(self, request):
        rows = [["=1+1", Decimal("-12.500000"), None], ["@x", -3, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]]
        return csv_answer(filename="rows.csv", header=["text", "credits", "at"], rows=rows)


urlpatterns = [
    path("v2/echo", EchoView.as_view()),
    path("v2/body", BodyView.as_view()),
    path("v2/guarded", GuardedView.as_view()),
    path("v2/sign-in", SignInView.as_view()),
    path("v2/raise/<str:what>", RaisingView.as_view()),
    path("v2/plain/<str:what>", plain_raising),
    path("v2/list", ListView.as_view()),
    path("v2/csv", CsvView.as_view()),
    path("v2/html-error", lambda request: HttpResponse("<h1>no</h1>", status=403)),
    path("admin/plain/<str:what>", plain_raising),
    path("", include("config.urls")),
]

handler400 = "config.http.middleware.bad_request"
handler403 = "config.http.middleware.permission_denied"
handler404 = "config.http.middleware.not_found"
handler500 = "config.http.middleware.server_error"
