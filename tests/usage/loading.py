"""Charging load on the real server, and the result of each charge."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from tests.server import Server

LONGEST = 5_000  # charges of one caller: a server that does not stop must not keep the test for ever


@dataclass
class Load:
    """Callers that each charge one credit after another on a connection of its own until it is closed."""

    server: Server
    service_key: str
    user_id: int
    callers: int = 12
    acknowledged: dict[str, int] = field(default_factory=dict)  # idempotency key → id of the charge
    unanswered: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._threads = [threading.Thread(target=self._charge_on, args=(caller,)) for caller in range(self.callers)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until every caller's connection was closed on it."""
        for thread in self._threads:
            thread.join(timeout=60)

    def charge(self, connection: HTTPConnection, key: str) -> tuple[int, dict[str, object]]:
        headers = {"X-API-KEY": self.service_key, "Idempotency-Key": key, "Content-Type": "application/json"}
        connection.request("POST", "/v2/charges", json.dumps({"user_id": self.user_id, "endpoint": "search"}), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def _charge_on(self, caller: int) -> None:
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        for n in range(LONGEST):
            key = f"caller {caller}, charge {n}"
            try:
                status, body = self.charge(connection, key)
            except (OSError, HTTPException):
                self.unanswered.append(key)
                return
            if status != 201:
                self.refused.append((status, key))
                continue
            self.acknowledged[key] = int(str(body["id"]))
