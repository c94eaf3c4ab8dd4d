"""Clients that charge, hold, capture and refund while the database sessions that serve them are killed."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
from django.db import connection

from accounts.models import User
from ledger.models import Entry, Hold
from ledger.selectors import balance_of

# Sends one call under an idempotency key: path, body, key; returns status, body and the header Retry-After.
Send = Callable[[str, dict[str, Any], str], tuple[int, dict[str, Any], str | None]]
RETRIES_SECONDS = 30
CHARGED, HELD, TAKEN, GIVEN_BACK = (Decimal(amount) for amount in ("1", "3", "2", "0.25"))


class Killer(threading.Thread):
    """Ends a session of the application's role, except the test's own, each time a number of further calls is done.

    By calls and not by the clock: on a busy machine a call may take longer than any pause.
    """

    def __init__(self, storm: Storm, *, every_calls: int) -> None:
        super().__init__(daemon=True)
        self.storm, self.every_calls, self.killed = storm, every_calls, 0
        self._stopped = threading.Event()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self._spared = cursor.fetchone()[0]

    def run(self) -> None:
        parameters = connection.get_connection_params()
        keep = {n: parameters[n] for n in ("host", "port", "dbname", "user", "password") if parameters.get(n)}
        with psycopg.connect(**keep, autocommit=True) as session:
            while not self._stopped.wait(0.001):
                if self.storm.calls_done() < (self.killed + 1) * self.every_calls:
                    continue
                self.killed += session.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
                    " WHERE usename = current_user AND datname = current_database() AND pid NOT IN (%s,"
                    " pg_backend_pid()) ORDER BY random() LIMIT 1) chosen",
                    [self._spared],
                ).fetchone()[0]

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join(timeout=30)


class Storm:
    """The responses to all clients, and what they have done."""

    def __init__(self, customer: User) -> None:
        self.customer = customer
        self.answers: Counter[tuple[str, int]] = Counter()
        self.done: Counter[str] = Counter()
        self.without_retry_after = 0
        self._lock = threading.Lock()

    def calls_done(self) -> int:
        with self._lock:
            return sum(self.done.values())

    def client(self, send: Send, calls: int, *, seed: int) -> None:
        """Make this many calls, each sent again under its key until the response is not a 503."""
        chance = random.Random(seed)
        left = calls
        while left > 0:
            if chance.random() < 0.5:
                body = {"user_id": self.customer.pk, "endpoint": "search", "credits": str(CHARGED)}
                charge = self._until_answered(send, "charge", "/v2/charges", body)
                left -= 1
                if chance.random() < 0.5:
                    path = f"/v2/charges/{charge['id']}/refund"
                    self._until_answered(send, "refund", path, {"reason": "storm", "credits": str(GIVEN_BACK)})
                    left -= 1
            else:
                hold = self._until_answered(
                    send, "hold", "/v2/holds", {"user_id": self.customer.pk, "credits": str(HELD)}
                )
                path = f"/v2/holds/{hold['id']}/capture"
                self._until_answered(send, "capture", path, {"credits": str(TAKEN), "endpoint": "search"})
                left -= 2

    def _until_answered(self, send: Send, name: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        key, deadline = uuid.uuid4().hex, time.monotonic() + RETRIES_SECONDS
        while True:
            status, answer, retry_after = send(path, body, key)
            with self._lock:
                self.answers[name, status] += 1
                self.without_retry_after += status == 503 and not retry_after
            if status != 503 or time.monotonic() > deadline:
                assert status in {200, 201}, (name, status, answer)
                with self._lock:
                    self.done[name] += 1
                return answer
            time.sleep(0.005)

    def check(self, credits: Decimal) -> None:
        """Check that nothing is lost or doubled; the customer started with this many credits."""
        assert {status for _, status in self.answers} <= {200, 201, 503}
        assert self.without_retry_after == 0
        entries = Counter(Entry.objects.filter(user=self.customer).values_list("reason", flat=True))
        made = {"usage": self.done["charge"], "capture": self.done["capture"], "refund": self.done["refund"]}
        assert {reason: entries[reason] for reason in made} == made
        assert Hold.objects.filter(user=self.customer, status="captured").count() == self.done["hold"]
        had = balance_of(user_id=self.customer.pk)
        spent = made["usage"] * CHARGED + made["capture"] * TAKEN - made["refund"] * GIVEN_BACK
        assert (had.balance, had.reserved) == (credits - spent, 0)


def run_storm(storm: Storm, senders: list[Callable[[], Send]], *, calls_each: int, every_calls: int) -> Killer:
    """Run a client for each sender concurrently, while sessions are killed; a failed client fails the test."""
    failures: list[BaseException] = []

    def run(number: int, make: Callable[[], Send]) -> None:
        try:
            storm.client(make(), calls_each, seed=number)
        except BaseException as failure:  # noqa: BLE001  it is the test's to raise
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(senders)]
    with Killer(storm, every_calls=every_calls) as killer:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=600)
    if failures:
        raise failures[0]
    return killer
