"""CPU time of one call: of this process, which makes it in a WSGI loop, and of its database process.

Requests a second depend on everything that runs on the machine; the CPU time of a call does so far less, but still
does, since other processes evict its data from the caches. So each call is made in turn with the empty view, which is
affected alike, and a figure is that of the cheapest fifth.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import override_settings

from tests.bench.callers import key_of, service_key, token_of
from tests.bench.report import Row

LEAST_CALLS = 50
ROWS = 60  # of each list: a page of fifty, and another to follow
_CUSTOMER = 7

Application = Callable[..., Any]


class Cost(NamedTuple):
    """Microseconds of CPU time that one call took: of this process, and of the database's."""

    web: float
    database: float
    empty: float  # of the empty view, made in turn with it


@dataclass
class Call:
    """One call of the API, as a WSGI server would make it."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any] | None = None
    application: Application = field(repr=False, default=lambda: None)

    def make(self) -> None:
        """Make the call once. A POST has a new idempotency key each time.

        :raises RuntimeError: if the status is not 200 or 201
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


# The number of empty views that a call may cost, in this process and in the database, and the subject of its rows.
_BARS = {
    "livez": (4, 0.1, "GET /livez"),
    "credits": (8, 2.5, "GET /auth/account/credits"),
    "key_summary": (9, 3, "GET /v2/account/summary"),
    "summary": (11, 4.5, "GET /auth/account/summary"),
    "usage": (10, 3.5, "GET /auth/account/usage"),
    "ledger": (14, 4, "a page of 50 entries"),
    "requests": (16, 8, "a page of 50 requests"),
    "holds": (14, 3.5, "a page of 50 holds"),
    "grants": (15, 5, "a page of 50 grants"),
    "charge": (13, 10, "POST /v2/charges"),
}
_BESIDE_CREDITS = {"ledger": 2.5, "requests": 2.5, "holds": 2.5, "grants": 2.5, "summary": 2.2}


def measured(*, pairs: int, seconds: float) -> list[Row]:
    """Measure every call this many times, each in turn with the empty view."""
    made, empty = calls(), empty_view()
    web = {
        name: Row(f"cpu_{name}", f"{what} / the empty view", f"<= {bar}", "µs")
        for name, (bar, _, what) in _BARS.items()
    }
    database = {
        name: Row(f"cpu_{name}_database", f"{what}, the database / the empty view", f"<= {bar}", "µs")
        for name, (_, bar, what) in _BARS.items()
    }
    beside = {
        name: Row(f"cpu_{name}_vs_credits", f"{_BARS[name][2]} / GET credits", f"<= {bar}", "µs")
        for name, bar in _BESIDE_CREDITS.items()
    }
    for _ in range(pairs):
        costs = {name: cost_of(call, empty, seconds=seconds) for name, call in made.items()}
        for name, cost in costs.items():
            web[name].ours.append(cost.web)
            database[name].ours.append(cost.database)
            web[name].others.append(cost.empty)
            database[name].others.append(cost.empty)
        for name, row in beside.items():
            row.ours.append(costs[name].web)
            row.others.append(costs["credits"].web)
    return [*web.values(), *database.values(), *beside.values()]


def cost_of(call: Call, empty: Call, *, seconds: float) -> Cost:
    """Make a call and the empty one repeatedly in turn, and return the CPU time of both, here and in the database."""
    for _ in range(5):
        call.make()
        empty.make()
    costs: list[Cost] = []
    process = _database_process()
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(costs) < LEAST_CALLS:
        database, began = _seconds_of(process), time.process_time()
        call.make()
        made = time.process_time()
        empty.make()
        after = time.process_time()
        spent = (made - began, _seconds_of(process) - database, after - made)
        costs.append(Cost(*(part * 1e6 for part in spent)))
    return Cost(*(sorted(part)[len(costs) // 5] for part in zip(*costs, strict=True)))


class _EmptyRequest(WSGIRequest):
    urlconf = "tests.bench.empty_view"


class _EmptyHandler(WSGIHandler):
    request_class = _EmptyRequest


def empty_view() -> Call:
    """Return the call to compare with: Django's own way to a view that does nothing, without middleware."""
    with override_settings(MIDDLEWARE=[]):
        return Call("/empty", {}, application=_EmptyHandler())


def calls() -> dict[str, Call]:
    """Return the calls to measure, by the names of their rows, for a customer who has a full page of every list."""
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
    """Create rows for a full page of each list of a customer."""
    from ledger.models import EntryReason
    from ledger.services.grants import GrantTerms, grant_credits
    from ledger.services.holds import open_hold
    from usage.services.charges.calls import AskedCharge
    from usage.services.charges.charge import charge_request

    in_a_year = GrantTerms(expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(days=365))
    for n in range(ROWS):
        named: dict[str, Any] = {"user_id": user_id, "idempotency_key": f"cpu-{n}"}
        grant_credits(amount=Decimal(100), reason=EntryReason.GRANT, reference=f"grant {n}", terms=in_a_year, **named)
        open_hold(credits=Decimal("0.5"), expires_in_seconds=86_400, metadata={"job": n}, **named)
        charge_request(
            AskedCharge(
                endpoint="translate", units=Decimal("1.25"), method="POST", latency_ms=12, metadata={"job": n}, **named
            )
        )


def _database_process() -> Path:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return Path(f"/proc/{cursor.fetchone()[0]}/schedstat")


def _seconds_of(process: Path) -> float:
    """Return how long a process was on a processor (Linux: the first figure of schedstat, in nanoseconds)."""
    return int(process.read_text(encoding="ascii").split()[0]) / 1e9
