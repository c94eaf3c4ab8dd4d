"""One run of a command at a time, over all processes and machines: a lock that ends with its holder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django import db
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.2

# Only those that this server knows: transaction_timeout came with PostgreSQL 17.
_NO_TIMEOUTS = """
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'statement_timeout', 'transaction_timeout')
"""


class AnotherRunHoldsTheLock(Exception):
    """Another run holds the lock, or was killed and the server has not noticed yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Another run of {name} holds the lock.")


@contextmanager
def run_lock(name: str, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock called `name` for the block.

    It belongs to an open transaction on its own connection, not to a session: PgBouncer in transaction mode
    keeps a transaction on one server connection, and the server ends it when the holder is gone.

    :raises AnotherRunHoldsTheLock: if it is not free within `wait_seconds`
    """
    connection = connections.create_connection("default")
    try:
        connection.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute(_NO_TIMEOUTS)
        _take(connection, name, until=time.monotonic() + wait_seconds)
        yield
    finally:
        with suppress(db.Error):  # the work is done, even if the connection is lost
            connection.close()


def lock_number(name: str) -> int:
    """Return the signed 64-bit number of a lock's name, for PostgreSQL's advisory locks."""
    return int.from_bytes(hashlib.sha256(f"tollbook run lock: {name}".encode()).digest()[:8], "big", signed=True)


def _take(connection: BaseDatabaseWrapper, name: str, *, until: float) -> None:
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock_number(name)])
            (taken,) = cursor.fetchone()
        if taken:
            return
        if time.monotonic() >= until:
            raise AnotherRunHoldsTheLock(name)
        time.sleep(_POLL_SECONDS)
