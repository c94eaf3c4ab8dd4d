"""Ten thousand calls to the real server while its database sessions are killed: no 500, nothing lost or doubled."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

from ledger.services.reconciliation.checks import Scope
from tests.factories import ServiceKeyFactory, customer_with
from tests.server import Server
from tests.usage.killings import Send, Storm, run_storm
from tests.usage.metering import price
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS, CALLS_EACH = 16, 625


def test_calls_are_neither_lost_nor_doubled_nor_500_when_sessions_are_killed(capsys):
    price("search", 1)
    storm = Storm(customer_with(1_000_000))
    service_key = ServiceKeyFactory().raw

    def sender() -> Send:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)

        def send(path: str, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any], str | None]:
            headers = {"X-API-KEY": service_key, "Content-Type": "application/json", "Idempotency-Key": key}
            try:
                connection.request("POST", path, json.dumps(body), headers)
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read()), answer.headers.get("Retry-After")
            except (HTTPException, OSError):
                connection.close()
                raise

        return send

    with Server(2, LOG_LEVEL="ERROR") as server:
        threading.Thread(target=_drain, args=(server,), daemon=True).start()
        killer = run_storm(storm, [sender] * CLIENTS, calls_each=CALLS_EACH, every_calls=5)

    storm.check(Decimal(1_000_000))
    assert sum(storm.done.values()) >= CLIENTS * CALLS_EACH
    assert reconcile(Scope())[1] == []
    with capsys.disabled():
        sys.stderr.write(f"\n{storm.calls_done()} calls, {killer.killed} sessions killed: {dict(storm.answers)}\n")


def _drain(server: Server) -> None:
    """Read the server's log, of which there is much: a full pipe would stop the server."""
    with suppress(OSError):
        while os.read(server.process.stderr.fileno(), 65_536):
            pass
