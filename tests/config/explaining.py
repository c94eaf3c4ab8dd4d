"""How much the database reads for a call: each of its statements is explained as it is run.

What `run_prepared` runs is prepared, and explained under a generic plan; Django's own cursors send the values in the
text of a statement, so each is planned for its values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import psycopg
from django.db import connection, transaction

from config.db import calls, prepared

_PLACE = re.compile(r"%(?:\((\w+)\))?s|%%")
_READ_ROW_BY_ROW = """
    SELECT relname, seq_tup_read FROM pg_stat_xact_user_tables
    WHERE seq_tup_read > 0
        AND (relname IN ('ledger_entry', 'ledger_balance', 'ledger_hold', 'ledger_operationkey', 'usage_eventkey')
             OR relname LIKE 'usage\\_requestlog%')
"""


class Reading(NamedTuple):
    """One statement: the shared buffers that it touched, and the big tables that it scanned row by row."""

    statement: str
    buffers: int
    scanned: list[str]


@contextmanager
def explained() -> Iterator[list[Reading]]:
    """Explain each statement of the block before it runs; the effects of explaining are undone."""
    readings: list[Reading] = []
    run = prepared.run_prepared

    def run_explained(statement: str, values: Sequence[Any]) -> Any:
        readings.append(_read(statement, values, prepare=True))
        return run(statement, values)

    def execute_explained(execute: Any, statement: str, values: Any, many: bool, context: Any) -> Any:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "INSERT", "WITH")):
            readings.append(_read(statement, values, prepare=False))
        return execute(statement, values, many, context)

    with (
        mock.patch.object(prepared, "run_prepared", run_explained),
        mock.patch.object(calls, "run_prepared", run_explained),
        connection.execute_wrapper(execute_explained),
    ):
        yield readings


def _read(statement: str, values: Sequence[Any] | Mapping[str, Any] | None, *, prepare: bool) -> Reading:
    """Explain a statement twice, since the first run fills the session's caches, and undo it."""
    before = transaction.savepoint()
    with psycopg.ClientCursor(connection.connection) as cursor:
        _explain(cursor, statement, values or (), prepare=prepare)
        scans = _row_by_row(cursor)
        plan = _explain(cursor, statement, values or (), prepare=prepare)
        scanned = [table for table, rows in _row_by_row(cursor).items() if rows > scans.get(table, 0)]
    transaction.savepoint_rollback(before)
    return Reading(" ".join(statement.split())[:4_000], plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], scanned)


def _explain(
    cursor: psycopg.ClientCursor[Any], statement: str, values: Sequence[Any] | Mapping[str, Any], *, prepare: bool
) -> dict[str, Any]:
    cursor.execute("SAVEPOINT explaining")  # effects of the first run must not be visible to the second
    execute = _prepared(cursor, statement, values) if prepare else cursor.mogrify(statement, values or None)
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}".encode())
    ((answer,),) = cursor.fetchall()
    cursor.execute("DEALLOCATE ALL")
    cursor.execute("ROLLBACK TO SAVEPOINT explaining")
    (explained,) = json.loads(answer) if isinstance(answer, str) else answer
    plan: dict[str, Any] = explained["Plan"]
    return plan


def _prepared(cursor: psycopg.ClientCursor[Any], statement: str, values: Sequence[Any] | Mapping[str, Any]) -> str:
    text, ordered = _numbered(statement, values)
    cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    cursor.execute(f"PREPARE probe AS {text}".encode())
    asked = f"({', '.join(['%s'] * len(ordered))})" if ordered else ""
    return cursor.mogrify(f"EXECUTE probe{asked}", ordered)


def _row_by_row(cursor: psycopg.ClientCursor[Any]) -> dict[str, int]:
    cursor.execute(_READ_ROW_BY_ROW)
    return dict(cursor.fetchall())


def _numbered(statement: str, values: Sequence[Any] | Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the statement with PostgreSQL's places for values: `$1` instead of `%s`."""
    ordered: list[Any] = []
    names: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        name = found.group(1)
        if found.group() == "%%":
            return "%"
        if name is None:
            ordered.append(values[len(ordered)])  # type: ignore[index]
            return f"${len(ordered)}"
        if name not in names:
            ordered.append(values[name])  # type: ignore[index]
            names[name] = len(ordered)
        return f"${names[name]}"

    return _PLACE.sub(place, statement), ordered
