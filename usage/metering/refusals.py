"""Metering's refusals over HTTP, for views and applications outside of DRF's exception handler."""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponse
from rest_framework.exceptions import APIException

from accounts.errors import AccountsRefusal, ApiKeyInvalid, ApiKeyMissing
from config.http.answers import error_answer
from config.values.credits import plain
from ledger.errors import IdempotencyKeyReused, InsufficientCredits, LedgerRefusal, UnknownCustomer
from usage.errors import (
    CustomerInactive,
    CustomerKeyRateLimited,
    IdempotencyKeyRefused,
    IdempotencyKeySpent,
    MeteringUnavailable,
    UsageRefusal,
)

# The part of config/api.py's table that `begin` and `end` can raise; a test compares the two.
STATUS_BY_REFUSAL: dict[type[Exception], tuple[int, str]] = {
    ApiKeyMissing: (401, "api_key_missing"),
    ApiKeyInvalid: (401, "api_key_invalid"),
    InsufficientCredits: (402, "insufficient_credits"),
    CustomerKeyRateLimited: (429, "rate_limited"),
    CustomerInactive: (403, "customer_inactive"),
    UnknownCustomer: (404, "customer_not_found"),
    IdempotencyKeyRefused: (400, "invalid"),
    IdempotencyKeyReused: (422, "idempotency_key_reused"),
    IdempotencyKeySpent: (409, "idempotency_key_spent"),
    MeteringUnavailable: (503, "unavailable"),
}
REFUSALS = tuple(STATUS_BY_REFUSAL)

_STATUS_BY_ERROR: dict[type[BaseException], int] = {
    Http404: 404,
    PermissionDenied: 403,
    BadRequest: 400,
    SuspiciousOperation: 400,
    AccountsRefusal: 400,
    LedgerRefusal: 400,
    UsageRefusal: 400,
}


def refusal_answer(refusal: Exception) -> HttpResponse:
    """Return the response to a refusal of `begin` or `end`, in the form of the API."""
    status, code = STATUS_BY_REFUSAL[type(refusal)]
    extra = {
        name: plain(value) if isinstance(value, Decimal) else value
        for name, value in getattr(refusal, "extra", {}).items()
    }
    detail = f"Idempotency-Key: {refusal}" if isinstance(refusal, IdempotencyKeyRefused) else str(refusal)
    answer = error_answer(status, code=code, detail=detail, extra=extra, headers=getattr(refusal, "headers", {}))
    if hasattr(refusal, "retry_after_seconds"):
        answer.headers["Retry-After"] = str(refusal.retry_after_seconds)
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'ApiKey realm="api"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def status_of_failure(error: BaseException) -> int:
    """Return the status of the response to a request whose work raised this; 500 for an unexpected exception."""
    if isinstance(error, APIException):
        return error.status_code
    for kind in type(error).__mro__:
        if kind in STATUS_BY_REFUSAL:
            return STATUS_BY_REFUSAL[kind][0]
        if kind in _STATUS_BY_ERROR:
            return _STATUS_BY_ERROR[kind]
    return 500
