"""Calls to the issuer of single sign-on: each ends in time, and few are made at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from django.conf import settings

from accounts.errors import IssuerBusy

CONFIGURATION = "/.well-known/openid-configuration"
_KEPT_SECONDS = 600
_turns = threading.BoundedSemaphore(settings.PROVIDER_CALLS_AT_ONCE)
_kept: dict[str, tuple[float, requests.Response]] = {}  # an address → when it was asked, and the response


@contextmanager
def turn() -> Iterator[None]:
    """Take one of the turns that requests of this process have with the issuer: a silent one holds few threads.

    :raises IssuerBusy: at once if none is left, or if the issuer did not answer
    """
    if not _turns.acquire(blocking=False):
        raise IssuerBusy
    try:
        yield
    except requests.RequestException:
        raise IssuerBusy from None
    finally:
        _turns.release()


class IssuerSession(requests.Session):
    """Every call has a time limit; the issuer's configuration is kept for ten minutes."""

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        options.setdefault("timeout", settings.SOCIALACCOUNT_REQUESTS_TIMEOUT)
        return super().request(method, url, *args, **options)

    def get(self, url: Any, **options: Any) -> requests.Response:
        if not str(url).endswith(CONFIGURATION):
            return super().get(url, **options)
        asked_at, response = _kept.get(url, (0.0, None))
        if response is None or time.monotonic() - asked_at > _KEPT_SECONDS:
            response = super().get(url, **options)
            response.raise_for_status()
            _kept[url] = (time.monotonic(), response)
        return response
