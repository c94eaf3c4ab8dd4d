"""The customer's own API keys: list, create, change, rotate, revoke."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar, cast

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller_id
from accounts.models import ApiKey, KeyStatus
from accounts.models.api_key import ApiKeyQuerySet
from accounts.selectors import keys_of
from accounts.serializers.people import (
    ApiKeySerializer,
    KeyChangesSerializer,
    NewApiKeySerializer,
    NewKeyRequestSerializer,
    RotationRequestSerializer,
)
from accounts.services.keys.api_keys import IssuedKey
from accounts.services.keys.limits import COLUMNS as LIMITS
from accounts.services.keys.limits import KeyLimits
from accounts.services.keys.own_keys import change_own_key, create_own_key, revoke_own_key, rotate_own_key
from config.http.bodies import validated
from config.http.csv_lists import FORMAT, ListViewSet, Sheet, listed
from config.http.documented import ChoiceParameter, id_parameter
from config.http.parameters import path_number
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer

CSV_COLUMNS = (
    "id", "name", "prefix", "last4", "scopes", "status", "created_at", "expires_at", "revoked_at", "last_used_at",
    "rate_limit_per_minute", "spending_limit", "spending_reset_day", "replaces_id", "replaced_by",
)  # fmt: skip
KEY_ID = id_parameter("The key's id.")
STATUS = ChoiceParameter("status", KeyStatus.values, "Only keys of this status.")


def sheet_of_keys(*more: str) -> Sheet:
    """Return the CSV sheet of keys, with `columns` appended."""
    columns = (*CSV_COLUMNS, *more)
    return Sheet("api-keys.csv", columns, shown=lambda key: _shown_in(columns, key))


def _shown_in(columns: tuple[str, ...], key: ApiKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in columns} | {"scopes": " ".join(key.scopes)}


class ApiKeyViewSet(ListViewSet[ApiKey]):
    """API keys of the customer's own programs; service keys are not included."""

    serializer_class = ApiKeySerializer
    queryset = ApiKey.objects.none()  # every action narrows to the customer's own
    sheet: ClassVar[Sheet] = sheet_of_keys()

    def keys(self, *, user_id: int, now: dt.datetime, status: str | None = None) -> ApiKeyQuerySet:
        """Return a customer's keys as `serializer_class` shows them."""
        return keys_of(user_id=user_id, now=now, status=status)

    @extend_schema(
        operation_id="api_keys",
        summary="API keys",
        description="The customer's keys, newest first. The keys themselves are shown only when they are created.",
        tags=["api keys"],
        parameters=[
            STATUS,
            FORMAT,
        ],
        responses=listed(ApiKeySerializer, "keys"),
    )
    def list(self, request: Request) -> Response | StreamingHttpResponse:
        keys = self.keys(user_id=caller_id(request), now=timezone.now(), status=STATUS.read(request))
        return self.file_or_page_of(keys)

    @extend_schema(
        operation_id="create_api_key",
        summary="Create an API key",
        description="The answer has the whole key, this once: only its hash is stored. Customers can give a key the "
        "scope `account:read` only. At most so many keys of a customer work at once as the site allows.",
        tags=["api keys"],
        request=NewKeyRequestSerializer,
        responses={201: NewApiKeySerializer, 400: FieldErrorsSerializer, 409: ErrorSerializer, **REFUSALS},
    )
    def create(self, request: Request) -> Response:
        asked = validated(NewKeyRequestSerializer, request.data)
        now = timezone.now()
        issued = create_own_key(
            user_id=caller_id(request),
            name=asked["name"],
            scopes=asked["scopes"],
            expires_at=_end_of(asked, now),
            limits=KeyLimits(**{name: asked[name] for name in LIMITS if name in asked}),
            now=now,
        )
        return self._shown_once(issued, now)

    @extend_schema(
        operation_id="change_api_key",
        summary="Change an API key",
        description="Its name and its limits; what is not named stays. Limits hold from the next call on. A key that "
        "was revoked or has expired stays as it is.",
        tags=["api keys"],
        parameters=[KEY_ID],
        request=KeyChangesSerializer,
        responses={
            200: ApiKeySerializer,
            400: FieldErrorsSerializer,
            404: ErrorSerializer,
            409: ErrorSerializer,
            **REFUSALS,
        },
    )
    def partial_update(self, request: Request, id: str) -> Response:
        asked = validated(KeyChangesSerializer, request.data)
        user_id, key_id, now = caller_id(request), path_number(id), timezone.now()
        change_own_key(user_id=user_id, key_id=key_id, changes=asked, now=now)
        return Response(self.get_serializer(self.keys(user_id=user_id, now=now).get(pk=key_id)).data)

    @extend_schema(
        operation_id="rotate_api_key",
        summary="Rotate an API key",
        description="The new key has the old one's name, scopes, limits and length of life; the old one works until "
        "the grace period is over, a day unless said otherwise. A key is rotated once: of two rotations one wins.",
        tags=["api keys"],
        parameters=[KEY_ID],
        request=RotationRequestSerializer,
        responses={
            201: NewApiKeySerializer,
            400: FieldErrorsSerializer,
            404: ErrorSerializer,
            409: ErrorSerializer,
            **REFUSALS,
        },
    )
    def rotate(self, request: Request, id: str) -> Response:
        asked = validated(RotationRequestSerializer, request.data)
        now = timezone.now()
        issued = rotate_own_key(
            user_id=caller_id(request),
            key_id=path_number(id),
            grace=dt.timedelta(seconds=asked["grace_period_seconds"]),
            now=now,
        )
        return self._shown_once(issued, now)

    @extend_schema(
        operation_id="revoke_api_key",
        summary="Revoke an API key",
        description="At once and for good. May be repeated.",
        tags=["api keys"],
        parameters=[KEY_ID],
        responses={204: None, 404: ErrorSerializer, **REFUSALS},
    )
    def destroy(self, request: Request, id: str) -> Response:
        revoke_own_key(user_id=caller_id(request), key_id=path_number(id), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _shown_once(self, issued: IssuedKey, now: dt.datetime) -> Response:
        key = self.keys(user_id=cast(int, issued.api_key.user_id), now=now).get(pk=issued.api_key.pk)
        return Response({**self.get_serializer(key).data, "key": issued.raw}, status=status.HTTP_201_CREATED)


def _end_of(asked: dict[str, Any], now: dt.datetime) -> dt.datetime | None:
    days = asked.get("expires_in_days")
    return asked.get("expires_at") if days is None else now + dt.timedelta(days=days)
