"""CPU time of one call: of this process, which makes it in a WSGI loop, and of the database's process that it asks.

Requests a second depend on whatever else runs on the machine; the time that a processor spent on a call hardly does.
Calls are made in short blocks, and a figure is the cheapest block's: what disturbs a block can only make it dearer.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import override_settings

from tests.bench.callers import key_of, service_key, token_of

CALLS_A_BLOCK = 20
ROWS = 60  # of each list: a page of fifty, and another to follow
_CUSTOMER = 7

Application = Callable[..., Any]


class Cost(NamedTuple):
    """Microseconds of CPU time that one call took."""

    web: float
    database: float


@dataclass
class Call:
    """One call of the API, as a WSGI server would make it."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any] | None = None
    application: Application = field(repr=False, default=lambda: None)

    def make(self) -> None:
        """Make it once. A post comes under a key of its own each time.

        :raises RuntimeError: if it is answered by anything but a 200 or 201
        """
        path, _, query = self.path.partition("?")
        sent = json.dumps(self.body).encode() if self.body is not None else b""
        environ = {
            "REQUEST_METHOD": "GET" if self.body is None else "POST",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8000",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(sent),
            "wsgi.errors": io.StringIO(),
            **self.headers,
        }
        if self.body is not None:
            environ |= {
                "CONTENT_TYPE": "application/json",
                "CONTENT_LENGTH": str(len(sent)),
                "HTTP_IDEMPOTENCY_KEY": str(uuid.uuid4()),
            }
        statuses: list[str] = []
        answer = self.application(environ, lambda status, headers: statuses.append(status))
        body = b"".join(answer)
        answer.close()
        if not statuses[0].startswith("20"):
            raise RuntimeError(f"{self.path}: {statuses[0]} {body[:300]!r}")


def cost_of(call: Call, *, seconds: float) -> Cost:
    """Make a call over and over; gives the CPU time of the cheapest block, this process's and the database's apart."""
    call.make()
    costs: list[Cost] = []
    process = _database_process()
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(costs) < 3:
        web, database = time.process_time(), _seconds_of(process)
        for _ in range(CALLS_A_BLOCK):
            call.make()
        spent = Cost(time.process_time() - web, _seconds_of(process) - database)
        costs.append(Cost(*(part / CALLS_A_BLOCK * 1e6 for part in spent)))
    return Cost(min(cost.web for cost in costs), min(cost.database for cost in costs))


@contextmanager
def empty_view() -> Iterator[Call]:
    """Give the call to compare with: Django's own way to a view that does nothing, without middleware."""
    with override_settings(MIDDLEWARE=[], ROOT_URLCONF="tests.bench.empty_view"):
        yield Call("/empty", {}, application=get_wsgi_application())


def calls() -> dict[str, Call]:
    """Give the calls to measure, by the names of their rows, all about a customer who has a page of everything."""
    _fill(_CUSTOMER)
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {token_of(_CUSTOMER)}"}
    key, service = {"HTTP_X_API_KEY": key_of(_CUSTOMER)}, {"HTTP_X_API_KEY": service_key()}
    application = get_wsgi_application()
    charge = {"user_id": _CUSTOMER, "endpoint": "translate"}
    made = {
        "livez": Call("/livez", {}),
        "credits": Call("/auth/account/credits", bearer),
        "key_summary": Call("/v2/account/summary", key),
        "summary": Call("/auth/account/summary", bearer),
        "usage": Call("/auth/account/usage", bearer),
        "ledger": Call("/auth/account/ledger?limit=50", bearer),
        "requests": Call("/auth/account/requests?limit=50", bearer),
        "holds": Call("/auth/account/holds?limit=50", bearer),
        "grants": Call("/auth/account/grants?limit=50", bearer),
        "charge": Call("/v2/charges", service, charge),
    }
    for call in made.values():
        call.application = application
    return made


def _fill(user_id: int) -> None:
    """Give a customer enough of everything for a page of each list."""
    from ledger.models import EntryReason
    from ledger.services.adjustments import grant_credits
    from ledger.services.grants import LotTerms
    from ledger.services.holds import open_hold
    from usage.services.charging import charge_request

    in_a_year = LotTerms(expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(days=365))
    for n in range(ROWS):
        named: dict[str, Any] = {"user_id": user_id, "idempotency_key": f"cpu-{n}"}
        grant_credits(amount=Decimal(100), reason=EntryReason.GRANT, reference=f"grant {n}", terms=in_a_year, **named)
        open_hold(credits=Decimal("0.5"), expires_in_seconds=86_400, metadata={"job": n}, **named)
        charge_request(
            endpoint="translate", units=Decimal("1.25"), method="POST", latency_ms=12, metadata={"job": n}, **named
        )


def _database_process() -> Path:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return Path(f"/proc/{cursor.fetchone()[0]}/schedstat")


def _seconds_of(process: Path) -> float:
    """Read how long a process was on a processor (Linux: the first figure of schedstat, in nanoseconds)."""
    return int(process.read_text(encoding="ascii").split()[0]) / 1e9
