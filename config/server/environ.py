"""The WSGI environ (PEP 3333) of a call, from granian's scope (ASGI 3, HTTP connection scope)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from config.http.downloads import CLOSES_ANSWERS

_NAMES_KEPT = 1_000  # callers choose the names: the cache needs a bound

_STANDING: dict[str, Any] = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Tollbook",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
    CLOSES_ANSWERS: True,
}
_known: dict[bytes, str | None] = {}


def environ_of(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's environ; the caller of this function adds `wsgi.input`.

    A header whose name has an underscore is left out: in the environ, `X_API_KEY` and `X-API-KEY` are one, and a proxy
    that sets or removes the one does not see the other. A repeated header is joined by commas (RFC 9110, 5.3).
    Values are Latin-1, as PEP 3333 requires. Behind a Unix socket REMOTE_ADDR is empty.
    """
    raw_path: bytes = scope["raw_path"]
    path = unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path
    client, server = scope.get("client"), scope.get("server")
    environ = {
        **_STANDING,
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0] if server else "localhost",
        "SERVER_PORT": str(server[1]) if server else "",
        "REMOTE_ADDR": client[0] if client else "",
        "wsgi.url_scheme": scope["scheme"],
    }
    for sent, value in scope["headers"]:
        name = _known[sent] if sent in _known else _name_of(sent)
        if name is None:
            continue
        text = value.decode("latin-1")
        if name in environ:
            text = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{text}"
        environ[name] = text
    return environ


def _name_of(sent: bytes) -> str | None:
    """Return a header's name in the environ; None to drop it."""
    name: str | None = None
    if b"_" not in sent:
        upper = sent.decode("latin-1").replace("-", "_").upper()
        name = upper if upper in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{upper}"
    if len(_known) < _NAMES_KEPT:
        _known[sent] = name
    return name
