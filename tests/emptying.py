"""How `transaction=True` tests empty the tables: as the owner, since the application may not and triggers refuse it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg
from django.db import connection as application
from psycopg import sql

# Written by migrations and changed by no test: these tables are not emptied.
KEPT = ("django_content_type", "auth_permission")

_GUARDS = """
    SELECT tgrelid::regclass::text, tgname FROM pg_trigger
    WHERE tgfoid = 'ledger_refuse_change'::regproc AND (tgtype & 32) <> 0
"""


def skips_triggers(owner: psycopg.Connection) -> bool:
    """Let the session skip all triggers; return False if the server does not allow it (one of `tests.cluster` does).

    To switch triggers off by ALTER TABLE, table by table, takes many times as long.
    """
    try:
        owner.execute("SET session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


class Emptying:
    """Empties the tables of the test database.

    It keeps its connection: to open one, and to read the catalog anew, takes longer than the work itself.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        self._connect = connect
        self._owner: psycopg.Connection | None = None
        self._skips_triggers = False
        self._names: list[str] = []
        self._filled = sql.SQL("")

    def empty(self) -> None:
        try:
            self._empty()
        except psycopg.OperationalError:  # the test has closed every connection
            self.close()
            self._empty()

    def empty_files(self) -> None:
        """Empty every table, those without rows too: rows of rolled-back tests still lie in their files.

        For tests that count the pages which a call reads. The tables must have no rows that are needed.
        """
        owner = self._owner = self._owner or self._open()
        tables = [sql.Identifier(name) for name in self._names]
        if self._skips_triggers:
            owner.execute(_truncating(tables))
        else:
            self._truncate_without_guards(owner, tables)

    def close(self) -> None:
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def _empty(self) -> None:
        owner = self._owner = self._owner or self._open()
        tables = [sql.Identifier(name) for (name,) in owner.execute(self._filled)]
        if not tables:
            return
        if self._skips_triggers:
            owner.execute(_truncating(tables))
        else:
            self._truncate_without_guards(owner, tables)

    def _open(self) -> psycopg.Connection:
        owner = self._connect()
        owner.autocommit = True
        self._skips_triggers = skips_triggers(owner)
        tables = application.introspection.django_table_names(only_existing=True, include_views=False)
        self._names = [name for name in tables if name not in KEPT]
        self._filled = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(name), sql.Identifier(name))
            for name in self._names
        )
        return owner

    @staticmethod
    def _truncate_without_guards(owner: psycopg.Connection, tables: Sequence[sql.Identifier]) -> None:
        with owner.transaction():
            guards = owner.execute(_GUARDS).fetchall()
            for table, trigger in guards:
                owner.execute(_switching("DISABLE", table, trigger))
            owner.execute(_truncating(tables))
            for table, trigger in guards:
                owner.execute(_switching("ENABLE", table, trigger))


def _truncating(tables: Sequence[sql.Identifier]) -> sql.Composed:
    """Return a TRUNCATE, not a DELETE: remains of rolled-back tests in the files must go, too.

    Tests that count the pages which a call reads find them all.
    """
    return sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(tables))


def _switching(switch: str, table: str, trigger: str) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(sql.SQL(table), sql.SQL(switch), sql.Identifier(trigger))
