"""The owner's login, for what the application's role may not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django import db
from django.db import connections
from django.db.backends.utils import CursorWrapper


@contextmanager
def as_owner() -> Iterator[CursorWrapper]:
    """Give a cursor in one transaction of the tables' owner, on a connection of its own; committed at the end.

    For operators' commands: nothing that serves requests owns a table (docs/decisions/0002).
    """
    connection = connections.create_connection("owner")
    try:
        connection.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            yield cursor
        connection.commit()
    finally:
        with suppress(db.Error):
            connection.close()
