"""Counting what a key has spent: before its limit is asked, never while its customer's balance is held."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError

from config.db.calls import call
from config.db.prepared import sqlstate

T = TypeVar("T")
_NOT_COUNTED = "TB002"  # raised by usage_key_left


def with_count(key_hash: bytes | None, write: Callable[[], T]) -> T:
    """Write; if nothing is known of what the key with this SHA-256 has spent, count that first, and write again.

    It is known from the moment on when a limit is set, so this is for a key that was not used for longer than a period
    while one that a rotation put in its place was, without a limit.
    """
    try:
        return write()
    except DatabaseError as error:
        if key_hash is None or sqlstate(error) != _NOT_COUNTED:
            raise
    call("usage_count_key", p_key_hash=key_hash)
    return write()
