"""Temporary errors of the database: a later attempt may succeed, so the caller is told to retry."""

from __future__ import annotations

import psycopg
from django import db
from prometheus_client import Counter

from config.db.prepared import is_connection_lost, sqlstate
from config.registry import REGISTRY

_DATABASE_ERRORS = {
    "55P03": "lock_timeout",
    "57014": "statement_timeout",
    "40001": "serialization_failure",
    "40P01": "deadlock",
    "53300": "too_many_connections",
}

_database_errors = Counter(
    "tollbook_database_errors", "Errors for which a call was answered with 503.", ("kind",), registry=REGISTRY
)


def is_database_away(error: BaseException | None) -> bool:
    """Return whether a later try may succeed: server gone or full, statement or lock timed out, deadlock."""
    if isinstance(error, (db.OperationalError, db.InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)):
        return True
    return error is not None and is_connection_lost(error)


def count_database_error(error: BaseException) -> None:
    """Count an error for which a caller is told to retry."""
    known = _DATABASE_ERRORS.get(sqlstate(error))
    lost = isinstance(error, db.OperationalError | db.InterfaceError) or is_connection_lost(error)
    _database_errors.labels(known or ("connection" if lost else "other")).inc()
