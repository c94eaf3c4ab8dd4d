"""URLs of webhooks: what a customer may enter, checked without network calls."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from django.conf import settings

from accounts.errors import WebhookRefused
from accounts.models import LONGEST_WEBHOOK_URL
from accounts.providers.addresses import LOWEST_FREE_PORT, is_open_port, may_reach

_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?", re.ASCII)


def refuse_url(url: str) -> None:
    """Refuse a URL that a webhook cannot have; its host name is resolved at every attempt.

    :raises WebhookRefused: naming `url`
    """
    problem = _problem_of(url)
    if problem is not None:
        raise WebhookRefused("url", problem)


def _problem_of(url: str) -> str | None:
    schemes = ("https",) if settings.WEBHOOKS_HTTPS_ONLY else ("https", "http")
    if len(url) > LONGEST_WEBHOOK_URL or not _PRINTABLE.fullmatch(url):
        return f"Give an address of at most {LONGEST_WEBHOOK_URL} ASCII characters, without blanks."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "This is not an address."
    if parts.scheme not in schemes:
        return f"The address must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}."
    if "@" in parts.netloc or "#" in url or "\\" in url:
        return "The address must have neither a user, a password, a fragment nor a backslash."
    if port is not None and not is_open_port(port):
        return f"The port must be 80, 443, or one from {LOWEST_FREE_PORT} on."
    return _problem_of_host(host)


def _problem_of_host(host: str) -> str | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None if _HOST.fullmatch(host) and len(host) <= 253 else "This is not the name of a host."
    return None if may_reach(address) else "The host's address is not public."
