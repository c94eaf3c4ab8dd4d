"""Prometheus metrics of calls in each process: their number, duration and status.

With PROMETHEUS_MULTIPROC_DIR the values are stored in that folder, and any process returns those of all processes
(docs/decisions/0019); without it they are this process's own. Labels come from the code, never from a caller.
"""

from __future__ import annotations

from functools import lru_cache

from django.http import HttpRequest
from prometheus_client import Counter, Gauge, Histogram

from config.registry import REGISTRY

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_requests = Counter(
    "tollbook_http_requests", "Calls that were answered.", ("method", "route", "status"), registry=REGISTRY
)
_durations = Histogram(
    "tollbook_http_request_duration_seconds",
    "Time until the answer began.",
    ("method", "route"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
_rate_limited = Counter("tollbook_http_rate_limited", "Calls beyond a limit (429).", ("route",), registry=REGISTRY)
_unavailable = Counter("tollbook_http_unavailable", "Calls to be tried again (503).", ("route",), registry=REGISTRY)
in_progress = Gauge(
    "tollbook_http_requests_in_progress",
    "Calls that are being worked on.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)


def route_of(request: HttpRequest) -> str:
    """Return the URLconf route of a call, not its path."""
    match = request.resolver_match
    if match is None:
        return "unmatched"
    return match.view_name if match.url_name else f"/{match.route}"


def count_answer(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered call."""
    requests, durations = _children(method if method in _METHODS else "other", route, status)
    requests.inc()
    durations.observe(seconds)
    if status == 429:
        _rate_limited.labels(route).inc()
    elif status == 503:
        _unavailable.labels(route).inc()


@lru_cache(maxsize=4096)
def _children(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the labelled metrics; cached, since the look-up costs more than counting."""
    return _requests.labels(method, route, str(status)), _durations.labels(method, route)
