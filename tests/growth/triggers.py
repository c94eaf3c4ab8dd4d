"""Write past the triggers, in the owner's own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_GUARDED = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 GROUP BY 1"


@contextmanager
def without_triggers() -> Iterator[None]:
    """Disable all our triggers while the block runs; the connection must be the owner's."""
    _switch("DISABLE")
    try:
        yield
    finally:
        _switch("ENABLE")


def _switch(switch: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(_GUARDED)
        for (table,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} {switch} TRIGGER USER")
