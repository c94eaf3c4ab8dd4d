"""Calls of SQL functions: one round trip each, and the only place that retries them."""

from __future__ import annotations

import random
import time
from collections import namedtuple
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

from django.db import Error, connection, transaction

from config.db.prepared import is_connection_lost, run_prepared, sqlstate

TRIES = 4  # the first, and at most three more
PAUSE_SECONDS = 0.005  # the unit of the pauses between them
_WORTH_ANOTHER_TRY = {
    "40001",  # serialization_failure: a call with the same key won; the next try finds its result
    "40P01",  # deadlock_detected
}
# unique_violation of these means the same as 40001: a call with the same key has just committed.
_KEY_CONSTRAINTS = {
    "entry_key_is_used_once_per_operation",
    "operation_key_is_used_once_per_operation",
    "hold_key_is_used_once",
}


# What to run, in its own transactions, before a call that failed with this code is tried again.
first_do: dict[str, Callable[[Error], None]] = {}


@lru_cache(maxsize=64)
def _row_type(function: str, columns: tuple[str, ...]) -> Any:
    return namedtuple(function, columns)


def call(function: str, /, **arguments: Any) -> Any:
    """Call an SQL function with named arguments and return its one row, as `call_rows` does.

    :raises django.db.Error: if the last try fails
    """
    (row,) = call_rows(function, **arguments)
    return row


def call_rows(function: str, /, **arguments: Any) -> list[Any]:
    """Call an SQL function with named arguments and return its rows, named tuples of its columns.

    Outside a transaction the call is its own transaction: all or nothing. Every function called here has an
    idempotency key (or changes nothing by repetition), so it is safe to retry after a lost race, a deadlock
    or a lost connection: at most three times, with jitter.

    :raises django.db.Error: if the last try fails
    """
    statement = _statement(function, tuple(arguments))
    for attempt in range(1, TRIES + 1):
        try:
            # A savepoint, so that a failed try does not abort the caller's transaction.
            with transaction.atomic() if connection.in_atomic_block else nullcontext():
                columns, rows = run_prepared(statement, list(arguments.values()))
                return list(map(_row_type(function, columns)._make, rows))
        except Error as error:
            if (before := first_do.get(sqlstate(error))) is not None and not connection.in_atomic_block:
                before(error)
            elif attempt == TRIES or not _may_try_again(error):
                raise
        time.sleep(random.uniform(0, PAUSE_SECONDS * 4**attempt))  # noqa: S311  jitter, not a secret
    raise AssertionError("unreachable")


@lru_cache(maxsize=64)
def _statement(function: str, names: tuple[str, ...]) -> str:
    return f"SELECT * FROM {function}({', '.join(f'{name} => %s' for name in names)})"


def _may_try_again(error: Exception) -> bool:
    state = sqlstate(error)
    if state in _WORTH_ANOTHER_TRY:
        return True
    if state == "23505":
        return error.__cause__.diag.constraint_name in _KEY_CONSTRAINTS  # type: ignore[union-attr]
    if connection.in_atomic_block or not is_connection_lost(error):
        return False
    connection.close()
    return True
