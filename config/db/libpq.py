"""Run one prepared statement directly through libpq: for hot paths, outside any open transaction.

psycopg's cursors are generators around a non-blocking libpq, which take half of the time that a small statement spends
in Python. Values and rows are still converted by psycopg, errors are psycopg's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors, pq
from psycopg.adapt import PyFormat, Transformer

# A statement that the server no longer has (DEALLOCATE ALL, a pooler), or whose columns a migration has changed: it
# failed before it ran, so it is prepared and run again.
_PREPARE_ANEW = frozenset({"26000", "0A000"})

Name = tuple[str, tuple[int, ...]]


class _Statement(NamedTuple):
    """A statement that the server has prepared, with the columns of its result."""

    name: bytes
    columns: tuple[str, ...]


class Rows(NamedTuple):
    """The result of a statement."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def only(self) -> dict[str, Any]:
        """Return the values of the one row by the names of their columns."""
        (row,) = self.rows
        return dict(zip(self.columns, row, strict=True))


_statements: WeakKeyDictionary[psycopg.Connection[Any], dict[Name, _Statement]] = WeakKeyDictionary()


def execute(connection: psycopg.Connection[Any], statement: str, values: Sequence[Any]) -> Rows:
    """Run a statement whose places are `%s`, prepared once per connection, in its own transaction.

    :raises psycopg.Error: as a cursor does
    """
    transformer = Transformer.from_context(connection)
    parameters: Any = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
    prepared = _statements.setdefault(connection, {})
    wanted = (statement, transformer.types or ())
    known = prepared.get(wanted)
    if known is not None:
        result = connection.pgconn.exec_prepared(known.name, parameters, transformer.formats)
        if _state(result) in _PREPARE_ANEW:
            prepared.clear()
            known = None
    if known is None:
        known = prepared[wanted] = _prepare(connection, statement, transformer.types)
        result = connection.pgconn.exec_prepared(known.name, parameters, transformer.formats)
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise _error(connection, result)
    transformer.set_pgresult(result)
    return Rows(known.columns, transformer.load_rows(0, result.ntuples, tuple))


_numbers = count(1)


def _prepare(connection: psycopg.Connection[Any], statement: str, types: tuple[int, ...] | None) -> _Statement:
    name = b"tollbook_%d" % next(_numbers)
    parts = statement.split("%s")
    text = parts[0] + "".join(f"${place}{part}" for place, part in enumerate(parts[1:], 1))
    result = connection.pgconn.prepare(name, text.replace("%%", "%").encode(), types)
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise _error(connection, result)
    described = connection.pgconn.describe_prepared(name)
    if described.status != pq.ExecStatus.COMMAND_OK:
        raise _error(connection, described)
    return _Statement(name, tuple((described.fname(place) or b"").decode() for place in range(described.nfields)))


def _state(result: pq.abc.PGresult) -> str:
    if result.status != pq.ExecStatus.FATAL_ERROR:
        return ""
    return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()


def _error(connection: psycopg.Connection[Any], result: pq.abc.PGresult) -> psycopg.Error:
    """Return the error of a failed result.

    Every error of the server has an SQLSTATE. One without comes from libpq itself, which has lost the server; its
    connection may not have the status BAD yet, and psycopg would raise a plain DatabaseError.
    """
    if not _state(result):
        return psycopg.OperationalError(connection.pgconn.get_error_message())
    return errors.error_from_result(result, encoding="utf-8")
