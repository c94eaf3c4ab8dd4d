"""Rate limits per API key, per user, or per address for anonymous callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import db
from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from config.http.client_address import address_to_count
from config.http.rate_windows import WINDOW_SECONDS, Count, windows

if TYPE_CHECKING:  # views.py itself imports the throttle that the settings name
    from rest_framework.views import APIView

UNCOUNTED_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/api/schema", "/api/docs"})

_COUNT, _COUNTED, _ADDRESS_COUNTED = "rate_count", "rate_counted", "rate_address_counted"
_BY_KEY = "rate_counted_by_key"


class CallerThrottle(BaseThrottle):
    """DRF's throttle: count the call and refuse it above the limit."""

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        count = count_call(request)
        return count is None or count.allowed

    def wait(self) -> float | None:
        return None  # in the response's headers instead (rate_headers)


def count_call(request: Request) -> Count | None:
    """Count this call once, for its caller; None means that the caller has no limit."""
    plain = request._request
    if not hasattr(plain, _COUNTED):
        subject, limit = _caller(request)
        _remember(plain, windows.count(subject, limit) if subject else None)
        setattr(plain, _BY_KEY, subject.startswith("key:"))
        if subject and subject.startswith("address:"):
            setattr(plain, _ADDRESS_COUNTED, True)
    return count_of(plain)


def count_address(request: HttpRequest) -> Count | None:
    """Count this call once against its address too: for failed credentials, and calls without authentication."""
    if not hasattr(request, _ADDRESS_COUNTED):
        setattr(request, _ADDRESS_COUNTED, True)
        _remember(request, windows.count(f"address:{address_to_count(request)}", settings.RATE_LIMIT_PER_ADDRESS))
    return count_of(request)


def count_separately(request: Request, what: str, limit: int) -> Count:
    """Count a costly call against its own limit a minute for its address, besides the ordinary limit.

    If it is refused, its headers show this limit.
    """
    plain = request._request
    count = windows.count(f"{what}:{address_to_count(plain)}", limit)
    if not count.allowed:
        _remember(plain, count)
    return count


def count_refusal(request: Request, status: int) -> Count | None:
    """Count a refused call that may not have reached the throttle; a 401 counts against the address.

    This limits guessing of credentials without locking out valid callers at the same address.
    """
    return count_address(request._request) if status == 401 else count_call(request)


def count_unrouted(request: HttpRequest) -> Count | None:
    """Count a call that did not reach an API view, such as one to an unknown path."""
    if hasattr(request, _COUNTED) or request.path_info in UNCOUNTED_PATHS or _counts_itself(request):
        return count_of(request)
    try:
        return count_address(request)
    except db.Error:
        return None  # an unknown path stays a 404 while the database is away


def count_of(request: HttpRequest) -> Count | None:
    """Return the count that this call's headers show."""
    count: Count | None = getattr(request, _COUNT, None)
    return count


def is_counted_by_key(request: HttpRequest) -> bool:
    """Return whether this call was counted against the limit of its API key."""
    return getattr(request, _BY_KEY, False)


def rate_headers(count: Count) -> dict[str, str]:
    """Return the rate limit headers, both the customary ones and those of the IETF draft.

    Source: draft-ietf-httpapi-ratelimit-headers: q quota, w window, r remaining, t seconds until reset.
    """
    headers = {
        "X-RateLimit-Limit": str(count.limit),
        "X-RateLimit-Remaining": str(count.remaining),
        "X-RateLimit-Reset": str(count.reset_at),
        "RateLimit-Policy": f'"default";q={count.limit};w={WINDOW_SECONDS}',
        "RateLimit": f'"default";r={count.remaining};t={count.reset_seconds}',
    }
    return headers if count.allowed else {**headers, "Retry-After": str(count.reset_seconds)}


def _counts_itself(request: HttpRequest) -> bool:
    """Return whether a DRF view handled the call: it counts its own calls, or has no throttle on purpose."""
    match = request.resolver_match
    return match is not None and hasattr(match.func, "cls")


def _remember(request: HttpRequest, count: Count | None) -> None:
    setattr(request, _COUNTED, True)
    setattr(request, _COUNT, count)


def _caller(request: Request) -> tuple[str, int]:
    """Return the caller's name and its limit: its own, or else the site's.

    An empty name has no limit: a service key without a limit of its own.
    """
    key: Any = request.auth
    if key is not None and hasattr(key, "user_id"):
        own = _own_limit(key)
        is_counted = key.user_id is not None or own is not None
        return (f"key:{key.pk}" if is_counted else ""), own or settings.RATE_LIMIT_PER_KEY
    if request.user is not None and getattr(request.user, "pk", None) is not None:
        return f"user:{request.user.pk}", _own_limit(request.user) or settings.RATE_LIMIT_PER_USER
    return f"address:{address_to_count(request)}", settings.RATE_LIMIT_PER_ADDRESS


def _own_limit(caller: Any) -> int | None:
    """Return the limit on the caller's own row, if any; the row is loaded already."""
    own: int | None = getattr(caller, "rate_limit_per_minute", None)
    return own
