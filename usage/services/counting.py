"""Count what a key has spent: before its limit is checked, never while its customer's balance is locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError

from config.db.calls import call
from config.db.prepared import sqlstate

T = TypeVar("T")
_NOT_COUNTED = "TB002"  # raised by usage_key_left
MOST_COUNTS = 3
"""Counts for one write: what was counted may be removed again before the write reads it."""


def with_count(key_hash: bytes | None, write: Callable[[], T]) -> T:
    """Write; if the spending of the key with this SHA-256 is not counted yet, count it and write again.

    It is counted from the time at which a limit is set, so this is for a key that was not used for longer than a
    period while the key that a rotation put in its place was, without a limit.
    """
    for _ in range(MOST_COUNTS):
        try:
            return write()
        except DatabaseError as error:
            if key_hash is None or sqlstate(error) != _NOT_COUNTED:
                raise
        call("usage_count_key", p_key_hash=key_hash)
    return write()
