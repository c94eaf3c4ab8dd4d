"""Tampering as a database owner who drops the guards could do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from tests.conftest import owner_connection
from tests.emptying import skips_triggers

_GUARDED = """
    SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgfoid = 'ledger_refuse_change'::regproc
"""


@contextmanager
def unguarded() -> Iterator[psycopg.Connection]:
    """Return the owner's connection with every guard off; changes are kept, and the guards go on again."""
    with owner_connection(autocommit=True) as connection:
        if skips_triggers(connection):
            yield connection
            return
        tables = [table for (table,) in connection.execute(_GUARDED).fetchall()]
        _switch(connection, tables, "DISABLE")
        try:
            yield connection
        finally:
            _switch(connection, tables, "ENABLE")


def tamper(statement: str, *parameters: Any) -> None:
    """Run one statement past all guards, and keep its changes."""
    with unguarded() as connection:
        connection.execute(statement, parameters)


def _switch(connection: psycopg.Connection, tables: list[str], switch: str) -> None:
    for table in tables:
        connection.execute(sql.SQL("ALTER TABLE {} {} TRIGGER USER").format(sql.SQL(table), sql.SQL(switch)))
