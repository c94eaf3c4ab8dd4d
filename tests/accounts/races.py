"""Many concurrent callers, each on its own connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

Outcome = TypeVar("Outcome")


def at_once(callers: int, call: Callable[[], Outcome]) -> list[Outcome | Exception]:
    """Make the same call from several threads, released together; return each result or exception."""
    barrier = threading.Barrier(callers)

    def run() -> Outcome | Exception:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=30)
            return call()
        except Exception as refusal:  # noqa: BLE001  each outcome is what the test looks at
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=callers) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(callers)]]
