"""A hasher that counts, a client, and a fixed time for tests that need no particular one."""

from __future__ import annotations

import datetime as dt
import threading
from typing import ClassVar

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from rest_framework.test import APIClient

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
ADDRESS = "198.51.100.7"


class CountingHasher(MD5PasswordHasher):
    """Hash quickly and count the hashes; checking a password hashes it once."""

    runs: ClassVar[list[str]] = []
    _lock = threading.Lock()

    def encode(self, password: str, salt: str) -> str:
        with self._lock:
            self.runs.append(password)
        return super().encode(password, salt)


@pytest.fixture
def hashings(settings) -> list[str]:
    """Return the list that grows by one with each run of the hasher; clear it after arranging."""
    settings.PASSWORD_HASHERS = ["tests.accounts.conftest.CountingHasher"]
    CountingHasher.runs.clear()
    return CountingHasher.runs


@pytest.fixture
def now() -> dt.datetime:
    return NOW


@pytest.fixture
def client() -> APIClient:
    return APIClient()
