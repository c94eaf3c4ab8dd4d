"""Receivers of webhooks: real HTTP servers in threads, with responses that tests choose."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@dataclass(frozen=True)
class Message:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """The messages received, and the next response: a status, or a function that writes to the handler itself."""

    port: int = 0
    got: list[Message] = field(default_factory=list)
    answer: int | Callable[[Any], None] = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: bytes = b"thanks"
    most_at_once: int = 0
    now_at_once: int = 0

    def url(self, path: str = "/hooks", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def receiving(**how: Any) -> Iterator[Receiver]:
    """Serve on a free port for the block."""
    receiver = Receiver(**how)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            with lock:
                receiver.now_at_once += 1
                receiver.most_at_once = max(receiver.most_at_once, receiver.now_at_once)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                receiver.got.append(Message(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            try:
                if callable(receiver.answer):
                    receiver.answer(self)
                else:
                    answer(self, receiver.answer, receiver.text, **receiver.headers)
            except OSError:
                pass  # the client has disconnected
            finally:
                with lock:
                    receiver.now_at_once -= 1

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(handler: BaseHTTPRequestHandler, status: int, text: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in {"Content-Length": str(len(text)), **named}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(text)


def drip(piece: bytes, seconds: float = 0.05) -> Callable[[BaseHTTPRequestHandler], None]:
    """Return a function that responds with 200 and then piece by piece, for longer than any caller waits."""

    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(int(2 / seconds)):
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(seconds)

    return dripping


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
