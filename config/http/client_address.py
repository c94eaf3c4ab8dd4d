"""The address of the calling machine; `X-Forwarded-For` counts only from a trusted proxy."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from config.values.addresses import Address, read_address

UNKNOWN = "unknown"


def client_address(request: HttpRequest | Request) -> str:
    """Return the caller's address in its canonical form, or `unknown`.

    `X-Forwarded-For` is read from the right, where trusted proxies append, to the first hop that is not
    trusted. What stands left of that, or of an invalid address, is the caller's own claim. A caller through a
    Unix socket has no address: it is a proxy on this machine if TRUSTED_PROXIES names `unix`, and unknown otherwise.
    """
    caller = read_address(str(request.META.get("REMOTE_ADDR", "")))
    hops = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
        claimed = read_address(hop)
        if claimed is None or not _is_trusted(caller):
            break
        caller = claimed
    return UNKNOWN if caller is None else str(caller)


def address_to_count(request: HttpRequest | Request) -> str:
    """Return what a rate limit counts as one address: an IPv6 network of /64, since one machine has all of it."""
    text = client_address(request)
    address = read_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return text


def _is_trusted(address: Address | None) -> bool:
    if address is None:
        return bool(settings.TRUST_UNIX_SOCKET)
    return any(address in network for network in settings.TRUSTED_PROXIES)
