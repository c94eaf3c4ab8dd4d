"""The real server, as `make serve` starts it, on the test database."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection


class Server:
    """The server on a free port, with the test database unless the environment names another.

    Its log is in memory; a long run needs a file, `log`, since a full pipe would stop the server.
    """

    def __init__(self, workers: int = 1, uds: Path | None = None, log: Path | None = None, **environment: str) -> None:
        self.uds = uds
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port: int = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        address, question, options = os.environ["DATABASE_URL"].partition("?")
        database = f"{address.rpartition('/')[0]}/{connection.settings_dict['NAME']}{question}{options}"
        settled = {"DATABASE_URL": database, "TOLLBOOK_ENV": "development", "LOG_FORMAT": "json"}
        command = [sys.executable, "-m", "config.server", "--port", str(self.port), "--workers", str(workers)]
        command += ["--uds", str(uds)] if uds else []
        self.process = subprocess.Popen(
            command,
            env=os.environ | settled | environment,
            cwd=settings.BASE_DIR,
            stderr=log.open("w") if log else subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Kill the server and all of its workers at once, as a power failure would."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def __enter__(self) -> Server:
        for _ in range(300):
            try:
                if self.call("GET", "/livez")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)

    def call(
        self, method: str, route: str, body: Any = None, timeout: float = 30, **headers: str
    ) -> tuple[int, bytes, HTTPMessage]:
        """Make one call on its own connection; return status, body and headers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        if self.uds:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(timeout)
            connection.sock.connect(str(self.uds))
        sent = {"Content-Type": "application/json", **headers} if body else headers
        connection.request(method, route, json.dumps(body) if body else None, sent)
        answer = connection.getresponse()
        answered = answer.status, answer.read(), answer.headers
        connection.close()
        return answered
