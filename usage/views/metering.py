"""The base of the calls of gateways and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from django.utils import timezone
from rest_framework.exceptions import NotFound

from accounts import key_format
from accounts.authentication import ApiKeyAuthentication
from accounts.models import Scope
from accounts.permissions import HasScope
from config.http.idempotency import REPLAYED
from config.http.lean import LeanAnswer, LeanViewSet
from config.http.parameters import path_number
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from ledger.serializers.account import InsufficientCreditsSerializer
from usage.errors import CustomerKeyInvalid
from usage.services.customers import customer_of_key

# The responses that every metering call may return besides its own.
METERING_REFUSALS: dict[Any, Any] = {**REFUSALS, 400: FieldErrorsSerializer, 403: ErrorSerializer}
# The responses of a call that charges or holds credits.
SPENDING_REFUSALS: dict[Any, Any] = {
    402: InsufficientCreditsSerializer,
    404: ErrorSerializer,
    422: ErrorSerializer,
    **METERING_REFUSALS,
}


class MeteringViewSet(LeanViewSet):
    """A call that acts for any customer: only service keys may make it."""

    authentication_classes = (ApiKeyAuthentication,)
    permission_classes: Any = (HasScope(Scope.METERING),)


class Customer(TypedDict, total=False):
    """A customer as the charging services accept one; empty when none was named."""

    user_id: int
    key_hash: bytes


def pop_customer(asked: dict[str, Any]) -> Customer:
    """Remove the customer from the fields of a request, and return it without a query.

    :raises CustomerKeyInvalid: if the key does not have the form of an API key
    """
    user_id, api_key = asked.pop("user_id"), asked.pop("api_key")
    if user_id is not None:
        return {"user_id": user_id}
    if api_key is None:
        return {}
    if not key_format.is_well_formed(api_key):
        raise CustomerKeyInvalid
    return {"key_hash": key_format.hash_of(api_key)}


def pop_customer_id(asked: dict[str, Any], *, operation: str, idempotency_key: str) -> int | None:
    """Remove the customer from the fields of a request, and return their id, if one was named.

    :raises CustomerKeyInvalid: if the key is not live, and this operation was not done under the idempotency key before
    """
    named = pop_customer(asked)
    if "key_hash" in named:
        return customer_of_key(
            key_hash=named["key_hash"], now=timezone.now(), operation=operation, idempotency_key=idempotency_key
        )
    return named.get("user_id")


def number_of(id: str, missing: type[Exception]) -> int:
    """Parse an id from the path; an invalid id is refused like an unknown one."""
    try:
        return path_number(id)
    except NotFound:
        raise missing from None


def done(data: Mapping[str, Any], *, status: int, is_replay: bool) -> LeanAnswer:
    """Return the response to an operation that was done now or is replayed."""
    return LeanAnswer(data, status=status, headers={REPLAYED: "true"} if is_replay else {})
