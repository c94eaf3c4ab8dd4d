"""Password hashers with bounded load: few hashes at a time in a process, each on one core.

A hash is costly on purpose: 0.2 s of a core and 100 MB. Without a bound, repeated sign-ups or sign-ins would use
all cores and delay charges. The server gives few such calls a thread (config/server/calls.py); this bound applies
wherever a password is hashed, in forms and commands and on other servers too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher

from accounts.errors import HashingBusy

PATIENCE_SECONDS = 5.0


class Turns:
    """A bounded number of turns, reentrant within a thread."""

    def __init__(self, most: int, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._patience_seconds = patience_seconds
        self._mine = threading.local()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn and hold it for the block.

        :raises HashingBusy: if none becomes free in time
        """
        if getattr(self._mine, "is_had", False):
            yield
            return
        if not self._free.acquire(timeout=self._patience_seconds):
            raise HashingBusy
        self._mine.is_had = True
        try:
            yield
        finally:
            self._mine.is_had = False
            self._free.release()


turns = Turns(max(1, settings.SERVER_THREADS // 4))


class Argon2(Argon2PasswordHasher):
    """Django's Argon2id with bounded turns, on one core instead of eight threads; the work factor is the same."""

    parallelism = 1

    def encode(self, *args: Any, **options: Any) -> str:
        with turns.one():
            return super().encode(*args, **options)

    def verify(self, *args: Any, **options: Any) -> bool:
        with turns.one():
            return super().verify(*args, **options)


class PBKDF2(PBKDF2PasswordHasher):
    """Django's PBKDF2 with bounded turns, for hashes imported from other systems."""

    def encode(self, *args: Any, **options: Any) -> str:
        with turns.one():
            return super().encode(*args, **options)
