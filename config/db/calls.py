"""Calls of SQL functions: one round trip each, and the one place where a call is tried again."""

from __future__ import annotations

import random
import time
from collections import namedtuple
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

TRIES = 4  # the first, and at most three more
_WORTH_ANOTHER_TRY = {
    "40001",  # serialization_failure: a twin with the same key won; the next try finds what it made
    "40P01",  # deadlock_detected
}
_CONNECTION_LOST = ("08", "57P")  # classes: connection exceptions, operator intervention (shutdown)


@lru_cache(maxsize=64)
def _row_type(function: str, columns: tuple[str, ...]) -> Any:
    return namedtuple(function, columns)


def sqlstate(error: BaseException) -> str:
    """Give the five characters by which PostgreSQL names an error; empty when there are none."""
    return getattr(error.__cause__ or error, "sqlstate", None) or ""


def call(function: str, /, **arguments: Any) -> Any:
    """Call an SQL function with named arguments and answer its one row, a named tuple of its columns.

    Outside a transaction the call is one of its own: it happens wholly or not at all. Every function called
    so takes an idempotency key (or changes nothing by repetition), so it is safe to try again after a lost
    race, a deadlock or a lost connection: at most three times, with jitter.

    :raises django.db.Error: whatever is left after the last try
    """
    names = ", ".join(f"{name} => %s" for name in arguments)
    statement = f"SELECT * FROM {function}({names})"
    for attempt in range(1, TRIES + 1):
        try:
            # A savepoint, so that a refused try does not spoil the caller's own transaction.
            savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
            with savepoint, connection.cursor() as cursor:
                cursor.execute(statement, list(arguments.values()))
                columns = tuple(column.name for column in cursor.description)
                return _row_type(function, columns)(*cursor.fetchone())
        except (OperationalError, InterfaceError) as error:
            if attempt == TRIES or not _may_try_again(error):
                raise
        time.sleep(random.uniform(0, 0.005 * 4**attempt))  # noqa: S311  jitter, not a secret
    raise AssertionError("unreachable")


def _may_try_again(error: Exception) -> bool:
    state = sqlstate(error)
    if state in _WORTH_ANOTHER_TRY:
        return True
    if connection.in_atomic_block or not (state == "" or state.startswith(_CONNECTION_LOST)):
        return False
    connection.close()
    return True
