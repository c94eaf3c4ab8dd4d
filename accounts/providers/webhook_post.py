"""One POST to a customer's webhook: to the address that was checked, within a time limit.

`http.client` alone would look up the host again (so a name could resolve differently the second time), and would wait
for each byte separately (so a slow server could hold it for hours). Redirects are not followed, proxies are not used.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache, partial
from urllib.parse import SplitResult, urlsplit

from accounts.providers.addresses import (
    LOOK_UP_SECONDS,
    Address,
    AddressRefused,
    Resolver,
    checked_addresses,
    resolve,
)

WITHIN_SECONDS = 15.0
MOST_ANSWER_BYTES = 64 * 1024
KEPT_ANSWER_BYTES = 1024
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """The outcome of a POST: a status, or an error."""

    status: int | None
    error: str | None
    milliseconds: int
    start: str = ""  # of the response's body
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        return self.error is None


def post(
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    within_seconds: float = WITHIN_SECONDS,
    resolver: Resolver | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send a body once and return the outcome; every failure is an Answer with an error.

    The whole attempt, including the look-up of the host, ends `within_seconds`.

    A success is a status from 200 to 299 with a response that ends in time, or is longer than what is read of it.
    """
    began = time.monotonic()
    resolver = resolver or partial(resolve, within_seconds=min(LOOK_UP_SECONDS, within_seconds))
    status: int | None = None
    error: str | None
    start, retry_after = b"", None
    try:
        with closing(_Connection(urlsplit(url), until=began + within_seconds, resolver=resolver, tls=tls)) as server:
            server.http.request("POST", server.target, body=body, headers={**headers, "Connection": "close"})
            answer = server.http.getresponse()
            status, retry_after = answer.status, answer.headers.get("Retry-After")
            start = answer.read(MOST_ANSWER_BYTES)[:KEPT_ANSWER_BYTES]
        error = None if 200 <= status < 300 else _refusal(status)
    except (OSError, http.client.HTTPException, AddressRefused, ValueError) as problem:
        error = _sentence(problem)
    return Answer(status, error, round((time.monotonic() - began) * 1000), _readable(start), retry_after)


class _Connection:
    """A connection to a checked address, with one deadline for everything."""

    def __init__(self, url: SplitResult, *, until: float, resolver: Resolver, tls: ssl.SSLContext | None) -> None:
        self.target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self.http = http.client.HTTPConnection(url.hostname or "", url.port or _PORTS[url.scheme])
        self.http.default_port = _PORTS[url.scheme]  # the Host header omits the default port
        self.until = until
        addresses = checked_addresses(self.http.host, self.http.port, resolver=resolver)
        self.raw = self._reach(addresses)
        try:
            self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if url.scheme == "https":
                self.raw.settimeout(_left(until))
                self.raw = (tls or _default_tls()).wrap_socket(self.raw, server_hostname=self.http.host)
        except BaseException:
            self.raw.close()
            raise
        self.http.sock = _TimedSocket(self.raw, until)  # already connected: `http.client` looks up nothing

    def close(self) -> None:
        self.http.close()
        with suppress(OSError):
            self.raw.close()

    def _reach(self, addresses: list[Address]) -> socket.socket:
        problem: OSError | None = None
        for number, address in enumerate(addresses):
            share = _left(self.until) / (len(addresses) - number)  # so that the next address has time too
            try:
                return socket.create_connection((str(address), self.http.port), timeout=share)
            except OSError as failed:
                problem = failed
        raise problem or TimeoutError


class _TimedSocket:
    """The part of a socket that `http.client` needs; every wait ends at the same deadline."""

    def __init__(self, raw: socket.socket, until: float) -> None:
        self.raw, self.until = raw, until

    def sendall(self, data: bytes) -> None:
        self.raw.settimeout(_left(self.until))
        self.raw.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self.raw, self.until))

    def close(self) -> None:
        """Do nothing: `http.client` closes the socket before it reads the response."""


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: socket.socket, until: float) -> None:
        self.raw, self.until = raw, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self.raw.settimeout(_left(self.until))
        return self.raw.recv_into(buffer)


@cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _left(until: float) -> float:
    """Return the seconds that are left.

    :raises TimeoutError: if there are none
    """
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"Answered {status}: redirects are not followed."
    return f"Answered {status}."


def _sentence(problem: Exception) -> str:
    if isinstance(problem, AddressRefused):
        return str(problem)
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"The certificate was refused: {problem.verify_message}."[:200]
    if isinstance(problem, ssl.SSLError):
        return "TLS failed."
    if isinstance(problem, TimeoutError):
        return "Took too long."
    if isinstance(problem, ConnectionRefusedError):
        return "The connection was refused."
    if isinstance(problem, OSError):
        return "The connection broke off."
    return "The answer was not HTTP."


def _readable(start: bytes) -> str:
    """Return the start of a response as text that a database column can store."""
    return start.decode("utf-8", errors="replace").replace("\0", "\ufffd")
