"""A request in a form that is independent of its framework."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.values.paths import path_of_decoded
from config.values.request_ids import chosen_request_id

LONGEST_METHOD = 10


@dataclass(frozen=True)
class Incoming:
    """A request. `request` is passed to the terms' functions; `body` reads the whole body, and only when called.

    `is_counted`: a throttle has counted it among the calls a minute of its key.
    """

    request: Any
    method: str
    path: str
    query: str
    api_key: str | None
    idempotency_key: str | None
    request_id: str
    body: Callable[[], bytes]
    is_counted: bool = False

    def digest(self) -> str:
        """Return a digest that identifies the request: SHA-256 of method, address and body."""
        digest = hashlib.sha256(f"{self.method}\n{self.path}\n{self.query}\n".encode(errors="replace"))
        digest.update(self.body())
        return digest.hexdigest()


def incoming(
    request: Any,
    meta: Mapping[str, Any],
    *,
    path: str,
    body: Callable[[], bytes],
    request_id: str | None = None,
    is_counted: bool = False,
) -> Incoming:
    """Build an Incoming from a CGI-like environment, as WSGI's and Django's `META` are; `path` is the decoded one."""
    method = str(meta.get("REQUEST_METHOD", "")).upper()
    is_method = method.isascii() and method.isalpha() and len(method) <= LONGEST_METHOD
    return Incoming(
        request=request,
        method=method if is_method else "",
        path=path_of_decoded(path),
        query=str(meta.get("QUERY_STRING", "")),
        api_key=meta.get("HTTP_X_API_KEY"),
        idempotency_key=meta.get("HTTP_IDEMPOTENCY_KEY") or None,
        request_id=request_id or chosen_request_id(meta.get("HTTP_X_REQUEST_ID")),
        body=body,
        is_counted=is_counted,
    )
