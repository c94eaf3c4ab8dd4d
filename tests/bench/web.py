"""Requests over HTTP: our server, and a client with sixteen connections that always await a response."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, repeat

from tests.bench.stage import ROOT

CONNECTIONS = 16
OURS = "config.wsgi:application"


@contextmanager
def serving(application: str, workers: int = 2, **environment: str) -> Iterator[int]:
    """Serve our site as `make serve` does, and others by granian itself, and yield the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    if application == OURS:
        command = [sys.executable, "-m", "config.server", "--port", str(port), "--workers", str(workers)]
    else:
        command = [
            sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--port", str(port),
            "--workers", str(workers), "--blocking-threads", "4", "--blocking-threads-idle-timeout", "600",
            "--no-ws", "--log-level", "critical", application,
        ]  # fmt: skip
    server = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment)
    try:
        _wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


def requests_a_second(port: int, path: str, headers: dict[str, str], *, seconds: float) -> float:
    """Repeat one request, and return requests a second; all responses must be 200."""
    question = _written("GET", port, path, headers)
    return _answers_a_second(port, repeat(question), b"200", seconds=seconds)


def posts_a_second(port: int, path: str, headers: dict[str, str], bodies: Sequence[bytes], *, seconds: float) -> float:
    """Post the bodies in turn, each under a new idempotency key, and return requests a second; all must be 201."""

    def questions() -> Iterator[bytes]:
        for n, body in enumerate(cycle(bodies)):
            key = f"{time.time_ns()}-{n}"
            named = headers | {"Idempotency-Key": key, "Content-Type": "application/json"}
            yield _written("POST", port, path, named | {"Content-Length": str(len(body))}) + body

    return _answers_a_second(port, questions(), b"201", seconds=seconds)


def _written(method: str, port: int, path: str, headers: dict[str, str]) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _answers_a_second(port: int, questions: Iterator[bytes], status: bytes, *, seconds: float) -> float:
    """Keep a request open on each of sixteen connections, and return responses a second."""
    waiting = selectors.DefaultSelector()
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(next(questions))
        waiting.register(connection, selectors.EVENT_READ, bytearray())
    count, started = 0, time.monotonic()
    while (passed := time.monotonic() - started) < seconds:
        for ready, _ in waiting.select(timeout=5):
            received, connection = ready.data, ready.fileobj
            received += connection.recv(65536)
            if _is_whole(received):
                if not received.startswith(b"HTTP/1.1 " + status):
                    raise RuntimeError(bytes(received[:300]).decode(errors="replace"))
                received.clear()
                count += 1
                connection.sendall(next(questions))
    for ready in list(waiting.get_map().values()):
        ready.fileobj.close()
    return count / passed


def _is_whole(received: bytearray) -> bool:
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return False
    at = received.lower().find(b"content-length:", 0, head)
    length = int(received[at + 15 : received.find(b"\r\n", at)])
    return len(received) >= head + 4 + length


def _wait_for(port: int) -> None:
    for _ in range(150):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server does not answer")
