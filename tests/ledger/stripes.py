"""Stand-ins for Stripe: localstripe in a process of its own, and a server with recorded responses."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs
from urllib.request import urlopen

import pytest

START_SECONDS = 20
KEY = "sk_test_12345"


@contextlib.contextmanager
def localstripe() -> Iterator[str]:
    """Run localstripe and return its address; skips where it cannot run."""
    program = Path(sys.executable).parent / "localstripe"
    if not program.exists():
        pytest.skip("localstripe is not installed (requirements-dev.txt)")
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        command = [str(program), "--port", str(port), "--from-scratch"]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tempfile.gettempdir())
        try:
            if not _answers(process, f"http://127.0.0.1:{port}/js.stripe.com/v3/"):
                log.seek(0)
                pytest.skip(f"localstripe does not start here: {log.read().decode()[-200:]!r}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with urlopen(url, timeout=5):
                return True
        except (URLError, OSError):
            time.sleep(0.1)
    return False


class Recorded:
    """A server that answers each call with the next recorded response, and keeps the requests.

    A response is a status and a body; None breaks the connection off instead.
    """

    def __init__(self, *answers: tuple[int, Any] | None) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, Any]] = []
        recorded = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
                key = self.headers.get("Idempotency-Key")
                recorded.calls.append({"method": self.command, "path": self.path, "form": form, "key": key})
                given = recorded.answers.pop(0)
                if given is None:
                    self.close_connection = True
                    return
                body = json.dumps(given[1]).encode()
                self.send_response(given[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815  the names that the server looks for

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Recorded:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
