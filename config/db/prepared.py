"""Prepared statements for the hot paths, parsed and planned once per connection.

Django's own cursors put the values into the text of a statement and so cannot prepare it; for a small statement
that costs as much as running it. Behind a PgBouncer that does not know prepared statements,
DATABASE_PREPARED_STATEMENTS turns this off.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection

from config.db import libpq
from config.db.libpq import Rows

# Class 08 is connection exceptions, 57P operator intervention (shutdown, crash, still starting); 25P03 and 25P04 are
# sessions ended for having been idle, or for a transaction that took too long; 25006 is a server that has become a
# standby: a new connection may find the one that took its place.
_CONNECTION_LOST = ("08", "57P", "25006", "25P03", "25P04")

_WITHOUT_A_STATE = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


def sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's five-character code of an error; empty if it has none."""
    return getattr(error.__cause__ or error, "sqlstate", None) or ""


def is_connection_lost(error: BaseException) -> bool:
    """Return whether the connection was lost, so that a new one may succeed.

    Errors of libpq itself have no SQLSTATE: psycopg raises an OperationalError, an InterfaceError or, if only the
    result shows that the server has gone, a plain DatabaseError.
    """
    if not isinstance(error, Error | psycopg.Error):
        return False
    state = sqlstate(error)
    if state:
        return state.startswith(_CONNECTION_LOST)
    cause = error.__cause__ or error
    return isinstance(cause, _WITHOUT_A_STATE) or type(cause) is psycopg.DatabaseError


def run_prepared(statement: str, values: Sequence[Any]) -> Rows:
    """Run a statement once, in the open transaction or in its own, and return all its rows.

    :raises django.db.Error: as Django's cursors do
    """
    if not settings.DATABASE_PREPARED_STATEMENTS:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return _all_of(cursor)
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    started = time.monotonic()
    with connection.wrap_database_errors:
        answer = _run(connection.connection, statement, values)
    if connection.queries_logged:
        connection.queries_log.append({"sql": statement, "time": f"{time.monotonic() - started:.3f}"})
    return answer


def read_prepared(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return rows; reconnect once if the connection was lost while idle."""
    return read_with_names(statement, values).rows


def read_with_names(statement: str, values: Sequence[Any]) -> Rows:
    """Return rows and the names of their columns; otherwise as `read_prepared`."""
    try:
        return run_prepared(statement, values)
    except Error as error:
        if connection.in_atomic_block or not is_connection_lost(error):
            raise
    connection.close()
    return run_prepared(statement, values)


def _run(server: psycopg.Connection[Any], statement: str, values: Sequence[Any]) -> Rows:
    if server.autocommit:
        return libpq.execute(server, statement, values)
    with psycopg.Cursor(server) as cursor:  # begins the transaction if none is open
        cursor.execute(statement.encode(), values, prepare=True)
        return _all_of(cursor)


def _all_of(cursor: Any) -> Rows:
    return Rows(tuple(column.name for column in cursor.description), cursor.fetchall())
