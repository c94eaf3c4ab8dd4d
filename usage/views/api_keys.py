"""The customer's API keys with what was spent by them: `accounts` knows the limit, but not the spending."""

from __future__ import annotations

import datetime as dt

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models.api_key import ApiKeyQuerySet
from accounts.views.api_keys import ApiKeyViewSet, sheet_of_keys
from config.http.csv_lists import listed
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from usage.selectors import with_spending
from usage.serializers.keys import NewSpendingKeySerializer, SpendingKeySerializer

_MADE = {201: NewSpendingKeySerializer, 400: FieldErrorsSerializer, 409: ErrorSerializer, **REFUSALS}
_CHANGE_REFUSALS = {404: ErrorSerializer, 409: ErrorSerializer, 400: FieldErrorsSerializer, **REFUSALS}


@extend_schema_view(
    list=extend_schema(responses=listed(SpendingKeySerializer, "keys")),
    create=extend_schema(responses=_MADE),
    partial_update=extend_schema(responses={200: SpendingKeySerializer, **_CHANGE_REFUSALS}),
)
class SpendingKeyViewSet(ApiKeyViewSet):
    """API keys. A key with a limit shows what was spent of it, and when it is reset."""

    serializer_class = SpendingKeySerializer
    sheet = sheet_of_keys("spent", "resets_at")

    def keys(self, *, user_id: int, now: dt.datetime, status: str | None = None) -> ApiKeyQuerySet:
        return with_spending(super().keys(user_id=user_id, now=now, status=status), now=now)

    @extend_schema(responses={**_MADE, 404: ErrorSerializer})
    def rotate(self, request: Request, id: str) -> Response:
        answer: Response = super().rotate(request, id)
        return answer
