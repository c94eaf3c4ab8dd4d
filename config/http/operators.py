"""Access for operators without signing in: for calls from this machine, or with METRICS_TOKEN."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import HttpRequest

from config.http.client_address import client_address
from config.values.addresses import read_address

# Headers that a proxy adds: a call with one of these came from elsewhere, unless the proxy is trusted.
_FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
    "HTTP_VIA",
)


def may_see_internals(request: HttpRequest) -> bool:
    """Return whether a call may see the state of the installation."""
    return is_local(request) or has_token(request)


def is_local(request: HttpRequest) -> bool:
    """Return whether a call comes from this machine and was not forwarded for another."""
    peer = read_address(str(request.META.get("REMOTE_ADDR", "")))
    if peer is None or not peer.is_loopback:
        return False
    if not any(request.META.get(name) for name in _FORWARDED):
        return True
    # A proxy on this machine: it must be trusted and name the client.
    last_hop = read_address(request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip())
    caller = read_address(client_address(request))
    is_believed = any(peer in network for network in settings.TRUSTED_PROXIES)
    return is_believed and last_hop is not None and caller is not None and caller.is_loopback


def has_token(request: HttpRequest) -> bool:
    """Return whether a call has METRICS_TOKEN."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    wanted: str = settings.METRICS_TOKEN
    return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), wanted.encode())
