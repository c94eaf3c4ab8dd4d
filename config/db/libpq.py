"""One prepared statement, run straight through libpq: for the hot paths, outside any transaction of Python's.

psycopg's cursors are generators around a non-blocking libpq: good for many things, and half of the time that a small
statement takes in Python. Values and rows are still converted by psycopg, errors are psycopg's own.
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
# was refused before it ran, so it is prepared anew and run again.
_PREPARE_ANEW = frozenset({"26000", "0A000"})

Name = tuple[str, tuple[int, ...]]


class Rows(NamedTuple):
    """What a statement answered."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


_names: WeakKeyDictionary[psycopg.Connection[Any], dict[Name, bytes]] = WeakKeyDictionary()


def execute(connection: psycopg.Connection[Any], statement: str, values: Sequence[Any]) -> Rows:
    """Run a statement whose places are `%s`, prepared once a connection, in a transaction of its own.

    :raises psycopg.Error: as a cursor does
    """
    transformer = Transformer.from_context(connection)
    parameters: Any = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
    prepared = _names.setdefault(connection, {})
    wanted = (statement, transformer.types or ())
    name = prepared.get(wanted)
    if name is not None:
        result = connection.pgconn.exec_prepared(name, parameters, transformer.formats)
        if _state(result) in _PREPARE_ANEW:
            prepared.clear()
            name = None
    if name is None:
        name = prepared[wanted] = _prepare(connection, statement, transformer.types)
        result = connection.pgconn.exec_prepared(name, parameters, transformer.formats)
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise _error(connection, result)
    transformer.set_pgresult(result)
    columns = tuple((result.fname(place) or b"").decode() for place in range(result.nfields))
    return Rows(columns, transformer.load_rows(0, result.ntuples, tuple))


_numbers = count(1)


def _prepare(connection: psycopg.Connection[Any], statement: str, types: tuple[int, ...] | None) -> bytes:
    name = b"tollbook_%d" % next(_numbers)
    parts = statement.split("%s")
    text = parts[0] + "".join(f"${place}{part}" for place, part in enumerate(parts[1:], 1))
    result = connection.pgconn.prepare(name, text.replace("%%", "%").encode(), types)
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise _error(connection, result)
    return name


def _state(result: pq.abc.PGresult) -> str:
    if result.status != pq.ExecStatus.FATAL_ERROR:
        return ""
    return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()


def _error(connection: psycopg.Connection[Any], result: pq.abc.PGresult) -> psycopg.Error:
    if connection.pgconn.status == pq.ConnStatus.BAD and not _state(result):
        return psycopg.OperationalError(connection.pgconn.get_error_message())
    return errors.error_from_result(result, encoding="utf-8")
