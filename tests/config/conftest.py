"""Clients on the test-only URLconf; every test starts without counted calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from config.http.rate_windows import windows


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    windows.forget()
    yield
    windows.forget()


@pytest.fixture
def edge(db: None, settings: object) -> Client:
    """Return a client of the small views; exceptions become responses, as in production."""
    settings.ROOT_URLCONF = "tests.config.urls"  # type: ignore[attr-defined]
    return Client(raise_request_exception=False)
