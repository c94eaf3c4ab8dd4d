"""The cost of a call for the database: the buffers of our own tables and indexes that it reads, and its statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

from django.db import connection, transaction

from config.db import calls, prepared

# What this session has read since its transaction began: counted by the server itself, in nested functions too, and
# never of the catalogs, which a session reads once. Hits and reads together: no cache makes a difference.
_READ = "SELECT coalesce(sum(pg_stat_get_xact_blocks_fetched(oid)), 0)::bigint FROM unnest(%s::oid[]) AS ours(oid)"
_OURS = """
    SELECT array_agg(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace OR oid IN (
        SELECT reltoastrelid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND reltoastrelid <> 0)
"""


class Statement(NamedTuple):
    """One statement and the buffers that it read."""

    buffers: int
    text: str


class Cost(NamedTuple):
    """The buffers of a call, the number of its statements, and those statements that read most."""

    buffers: int
    statements: int
    dearest: list[Statement]


def cost_of(call: Callable[[], Any], *, prepare: Callable[[], Any] = lambda: None) -> Cost:
    """Make a call and count its cost; it and its preparation are rolled back."""
    before_all = transaction.savepoint()
    try:
        prepare()
        with _counted(_ours()) as statements:
            call()
        buffers = sum(statement.buffers for statement in statements)
        return Cost(buffers, len(statements), sorted(statements, reverse=True)[:3])
    finally:
        transaction.set_rollback(False)  # whatever state the call left
        transaction.savepoint_rollback(before_all)


@contextmanager
def _counted(ours: list[int]) -> Iterator[list[Statement]]:
    statements: list[Statement] = []
    run = prepared.run_prepared

    def run_counted(statement: str, values: Sequence[Any]) -> Any:
        with counting(statement):
            return run(statement, values)

    def execute_counted(execute: Any, statement: str, values: Any, many: bool, context: Any) -> Any:
        with counting(statement):
            return execute(statement, values, many, context)

    @contextmanager
    def counting(statement: str) -> Iterator[None]:
        before = _buffers_read(ours)
        yield
        statements.append(Statement(_buffers_read(ours) - before, " ".join(str(statement).split())[:500]))

    with (
        mock.patch.object(prepared, "run_prepared", run_counted),
        mock.patch.object(calls, "run_prepared", run_counted),
        connection.execute_wrapper(execute_counted),
    ):
        yield statements


def _ours() -> list[int]:
    """Return our tables and indexes, by their oids."""
    with connection.connection.cursor() as cursor:  # psycopg's own: it is no statement of the call
        (oids,) = cursor.execute(_OURS).fetchone()
    return list(oids)


def _buffers_read(ours: list[int]) -> int:
    with connection.connection.cursor() as cursor:
        (read,) = cursor.execute(_READ, [ours]).fetchone()
    return int(read)
