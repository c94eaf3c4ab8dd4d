"""Log and count each call, without its contents."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config.http.meters import count_answer, in_progress, route_of

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# Called every few seconds by machines: logged only if something is wrong.
_QUIET_ROUTES = frozenset({"livez", "readyz", "metrics", "unmatched"})

logger = logging.getLogger("tollbook.access")


class ObservationMiddleware:
    """Count and log every response; inside RequestIdMiddleware and outside all other middleware."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        in_progress.inc()
        try:
            answer = self.get_response(request)
        finally:
            in_progress.dec()
        seconds = time.perf_counter() - began
        method, route, status = request.method or "", route_of(request), answer.status_code
        count_answer(method, route, status, seconds)
        level = _level(route, status)
        if logger.isEnabledFor(level):
            user_id, key_prefix = _caller(request)
            fields = {
                "method": method,
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 1),
                "user_id": user_id,
                "api_key": key_prefix,
            }
            logger.log(level, "%s %s %s", method, route, status, extra=fields)
        return answer


def _level(route: str, status: int) -> int:
    if status >= 500:
        return logging.ERROR
    return logging.DEBUG if route in _QUIET_ROUTES and status < 400 else logging.INFO


def _caller(request: Any) -> tuple[int | None, str | None]:
    """Return the caller that was authenticated, without querying the database."""
    user = request.__dict__.get("user")
    if not hasattr(type(user), "_meta"):  # the session's lazy user, perhaps never loaded
        user = request.__dict__.get("_cached_user")
    return getattr(user, "pk", None), getattr(request.__dict__.get("auth"), "prefix", None)
