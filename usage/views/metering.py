"""What the calls of gateways and services have in common."""

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

# What every metering call may answer besides its own answers.
METERING_REFUSALS: dict[Any, Any] = {**REFUSALS, 400: FieldErrorsSerializer, 403: ErrorSerializer}
# And what a call may answer that takes credits or sets them aside.
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
    """A customer as the services that charge want one named; empty when none was."""

    user_id: int
    key_hash: bytes


def take_customer(asked: dict[str, Any]) -> Customer:
    """Take who was meant out of what was asked, without asking the database.

    :raises CustomerKeyInvalid: if the key cannot be one of ours
    """
    user_id, api_key = asked.pop("user_id"), asked.pop("api_key")
    if user_id is not None:
        return {"user_id": user_id}
    if api_key is None:
        return {}
    if not key_format.is_well_formed(api_key):
        raise CustomerKeyInvalid
    return {"key_hash": key_format.hash_of(api_key)}


def take_customer_id(asked: dict[str, Any], *, operation: str, idempotency_key: str) -> int | None:
    """Take who was meant out of what was asked, and find their id, if anybody was.

    :raises CustomerKeyInvalid: if the key is not live, and this operation was not done under the idempotency key before
    """
    named = take_customer(asked)
    if "key_hash" in named:
        return customer_of_key(
            key_hash=named["key_hash"], now=timezone.now(), operation=operation, idempotency_key=idempotency_key
        )
    return named.get("user_id")


def number_of(id: str, missing: type[Exception]) -> int:
    """Read an id from the path; what could be no id is answered like one that nothing has."""
    try:
        return path_number(id)
    except NotFound:
        raise missing from None


def done(data: Mapping[str, Any], *, status: int, is_replay: bool) -> LeanAnswer:
    """Answer with what was done, now or by an earlier call."""
    return LeanAnswer(data, status=status, headers={REPLAYED: "true"} if is_replay else {})
