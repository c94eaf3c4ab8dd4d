"""A charge under adverse load: slow clients, a silent provider, a silent mail server, many registrations."""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from typing import Any

from config.postgres.cluster import Cluster
from tests.bench.callers import service_key, token_of
from tests.bench.report import Row
from tests.bench.stage import run_sql
from tests.bench.web import OURS, serving
from tests.ledger import paying
from tests.ledger.silent import Silent
from tests.ledger.stripes import KEY

CLIENTS = 64
CHARGED = 5_000  # an account without other calls
TROUBLED = range(1, 9)
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

Disturbance = Callable[[int], Any]


class Beside:
    """One worker with four threads; charges one after the other, without and with the adverse load, in turn."""

    def __init__(self, cluster: Cluster, *, pairs: int, seconds: float) -> None:
        self.pairs, self.seconds = pairs, seconds
        self.key = service_key()
        run_sql(cluster, "long_logs.sql", customers=len(TROUBLED), rows=12_000)
        self.tokens = [token_of(user_id) for user_id in TROUBLED]

    def rows(self) -> list[Row]:
        paying.package(code="bench-beside")
        with Silent() as stripe, Silent() as mail:
            by_stripe = {"PAYMENT_PROVIDER": "stripe", "STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRETS": "a"}
            by_stripe["STRIPE_API_URL"] = stripe.url
            by_mail = {"EMAIL_URL": f"smtp://127.0.0.1:{mail.port}", "PAYMENT_PROVIDER": "fake"}
            return [
                *self._measured(
                    "slow_clients", "64 half requests, 64 unread CSVs, 64 idle, HTTP/2", self._slow_clients
                ),
                *self._measured(
                    "silent_stripe", "12 customers who add a card at a silent Stripe", self._cards, by_stripe
                ),
                *self._measured(
                    "silent_mail", "purchases with receipts, a silent mail server", self._purchases, by_mail
                ),
                *self._measured("registrations", "60 registrations a minute", self._registrations),
            ]

    def _measured(
        self, name: str, what: str, disturb: Disturbance, environment: dict[str, str] | None = None
    ) -> Iterator[Row]:
        calls = ("charge", "livez") if name == "slow_clients" else ("charge",)
        medians = {
            call: Row(f"beside_{name}_{call}", f"median {call} beside {what} / alone", "<= 2", "ms") for call in calls
        }
        worst = {
            call: Row(f"beside_{name}_{call}_worst", f"worst {call} beside them / alone", "<= 20", "ms")
            for call in calls
        }
        with serving(OURS, workers=1, **(environment or {})) as port:
            self._taken(port, calls, 0.5)
            for _ in range(self.pairs):
                alone = self._taken(port, calls, self.seconds)
                with disturb(port):
                    time.sleep(0.5)
                    beside = self._taken(port, calls, self.seconds)
                for call in calls:
                    medians[call].ours.append(statistics.median(beside[call]))
                    medians[call].others.append(statistics.median(alone[call]))
                    worst[call].ours.append(max(beside[call]))
                    worst[call].others.append(max(alone[call]))
        yield from (*medians.values(), *worst.values())

    def _taken(self, port: int, calls: tuple[str, ...], seconds: float) -> dict[str, list[float]]:
        """Make calls one after another for a time, each on its own connection, and return the milliseconds of each."""
        taken: dict[str, list[float]] = {call: [] for call in calls}
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for call in calls:
                began = time.perf_counter()
                if call == "livez":
                    status = self._call(port, "GET", "/livez")
                else:
                    body = {"user_id": CHARGED, "endpoint": "translate"}
                    headers = {"X-API-KEY": self.key, "Idempotency-Key": uuid.uuid4().hex}
                    status = self._call(port, "POST", "/v2/charges", body, **headers)
                taken[call].append((time.perf_counter() - began) * 1000)
                if status not in {200, 201}:
                    raise RuntimeError(f"{call} was answered {status}")
        return taken

    def _call(self, port: int, method: str, path: str, body: Any = None, **headers: str) -> int:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        sent = {"Content-Type": "application/json", **headers} if body else headers
        connection.request(method, path, json.dumps(body) if body else None, sent)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    @contextmanager
    def _slow_clients(self, port: int) -> Iterator[None]:
        half = b"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
        download = (
            "GET /auth/account/requests?format=csv HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\r\n"
        )
        with ExitStack() as held:
            for n in range(CLIENTS):
                for sent in (half, download.format(self.tokens[n % len(self.tokens)]).encode(), b"", HTTP2_PREFACE):
                    client = held.enter_context(socket.socket())
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    client.connect(("127.0.0.1", port))
                    client.sendall(sent)
            yield

    def _cards(self, port: int) -> Any:
        def add_card(n: int) -> None:
            token = self.tokens[n % len(self.tokens)]
            self._call(port, "POST", "/auth/account/payment-methods", Authorization=f"Bearer {token}")

        return over_and_over(add_card, callers=12, pause_seconds=0.2)

    def _purchases(self, port: int) -> Any:
        from accounts.models import User
        from ledger.providers import fake as cards

        saved = [paying.card(User.objects.get(pk=user_id), cards.APPROVE).pk for user_id in TROUBLED]

        def buy(n: int) -> None:
            body = {"package": "bench-beside", "payment_method_id": saved[n]}
            headers = {"Authorization": f"Bearer {self.tokens[n]}", "Idempotency-Key": uuid.uuid4().hex}
            self._call(port, "POST", "/auth/account/top-ups", body, **headers)

        return over_and_over(buy, callers=4, pause_seconds=1)

    def _registrations(self, port: int) -> Any:
        def register(_: int) -> None:
            body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "a-long-enough-one-7"}
            self._call(port, "POST", "/auth/register", body)

        return over_and_over(register, callers=1, pause_seconds=1)


@contextmanager
def over_and_over(act: Callable[[int], None], *, callers: int, pause_seconds: float) -> Iterator[None]:
    """Repeat an action in this many threads, each with a pause after it, until the end."""
    over = threading.Event()

    def go_on(n: int) -> None:
        while not over.wait(pause_seconds):
            act(n)

    threads = [threading.Thread(target=go_on, args=(n,)) for n in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
