"""A deterministic race: the second caller arrives while the first has not committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection, transaction

First = TypeVar("First")
Second = TypeVar("Second")
LONG_ENOUGH_SECONDS = 0.25


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
            time.sleep(LONG_ENOUGH_SECONDS)
        return done, waiting.result(timeout=30)
