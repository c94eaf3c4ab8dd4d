"""A database that is unavailable: nothing listens on its port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from config.db import calls


@contextmanager
def database_away() -> Iterator[None]:
    """Close the connection, and refuse new ones while the block runs; for `transaction=True` tests.

    Calls try again without pauses meanwhile: the outage outlasts them anyway.
    """
    port, pause = connection.settings_dict["PORT"], calls.PAUSE_SECONDS
    connection.close()
    connection.settings_dict["PORT"], calls.PAUSE_SECONDS = "1", 0
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["PORT"], calls.PAUSE_SECONDS = port, pause
