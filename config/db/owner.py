"""Connections as the owner, for what the application's role may not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django import db
from django.db import connections
from django.db.backends.utils import CursorWrapper


@contextmanager
def as_owner() -> Iterator[CursorWrapper]:
    """Open a cursor in one transaction of the tables' owner, on its own connection; committed at the end.

    Only for operators' commands: requests never run as the owner (docs/decisions/0002).
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
