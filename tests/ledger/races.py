"""A deterministic race: the second caller arrives while the first has not committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from django.db import connection, transaction

First = TypeVar("First")
Second = TypeVar("Second")
LONG_ENOUGH_SECONDS = 0.25
_WAITS_FOR_THIS_SESSION = "SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"


def before_it_commits(first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """Call `first` in a transaction and `second` on another connection before it commits; return both results."""

    def meanwhile() -> Second:
        try:
            return second()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        with transaction.atomic():
            done = first()
            waiting = pool.submit(meanwhile)
            wait_until_it_waits(waiting)
        return done, waiting.result(timeout=30)


def wait_until_it_waits(second: Future[Second]) -> None:
    """Return when a session waits for a lock of this one, `second` has ended, or either has had long enough."""
    until = time.monotonic() + LONG_ENOUGH_SECONDS
    with connection.cursor() as cursor:
        while not second.done() and time.monotonic() < until:
            cursor.execute(_WAITS_FOR_THIS_SESSION)
            if cursor.fetchone() is not None:
                return
            time.sleep(0.005)
