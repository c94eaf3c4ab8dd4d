"""Fixtures of every test: the database with the application's rights, and a way to empty it that production lacks."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connections
from django.test import TransactionTestCase
from django.test.utils import setup_databases, teardown_databases
from django.utils import timezone
from whitenoise.middleware import WhiteNoiseMiddleware

from config.http.rate_windows import windows
from tests.emptying import Emptying
from tests.slow import SLOW_FILES
from usage.services.partitions import ensure_partition


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_modify_db_settings, django_db_blocker) -> Iterator[None]:
    """Create the test database through the owner's alias, which the application's alias mirrors."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default", "owner"}, serialized_aliases=set())
        # Its work is done; Django never empties the tables of an alias that mirrors another one.
        connections["default"].settings_dict["TEST"]["MIRROR"] = None
        ensure_partition(timezone.now())  # once, instead of at the first charge of each rolled-back test
    # For `transaction=True` tests, with any alias of the one database.
    emptying, original = Emptying(owner_connection), TransactionTestCase._fixture_teardown
    TransactionTestCase._fixture_teardown = lambda _case: emptying.empty()  # type: ignore[method-assign]
    yield
    TransactionTestCase._fixture_teardown = original  # type: ignore[method-assign]
    with django_db_blocker.unblock():
        emptying.close()
        connections.close_all()
        teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def _quick_passwords(settings: object) -> None:
    """Hash passwords quickly; the tests of hashing choose their own."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _new_minute() -> None:
    """Start each test without counted calls."""
    windows.forget()


def owner_connection(**options: object) -> psycopg.Connection:
    """Connect to the test database as the role that owns its tables."""
    application = connections["default"].settings_dict
    address = {**settings.DATABASES["owner"]["OPTIONS"]}
    named = {"host": "HOST", "port": "PORT", "dbname": "NAME", "password": "PASSWORD"}
    address |= {part: application[setting] for part, setting in named.items() if application.get(setting)}
    address["prepare_threshold"] = None  # several statements in one call cannot be prepared
    owner = settings.DATABASES["owner"]
    if owner.get("PASSWORD"):
        address["password"] = owner["PASSWORD"]
    return psycopg.connect(**address, user=owner["USER"], **options)


@pytest.fixture
def owner(db: None) -> Iterator[psycopg.Connection]:
    """Yield the owner's connection, for what the database refuses even to the owner; changes are rolled back."""
    connection = owner_connection()
    yield connection
    connection.rollback()
    connection.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` leaves out."""
    slow = set(SLOW_FILES)
    for item in items:
        if item.path in slow:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Exclude imported objects from garbage collection: thousands of classes take long to visit."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _static_files_found_once() -> Iterator[None]:
    """Scan the static files once: every test client creates its own middleware, and WhiteNoise scans for each."""
    found: dict[str, object] = {}
    look = WhiteNoiseMiddleware.add_files_from_finders

    def once(self: WhiteNoiseMiddleware) -> None:
        if not found:
            look(self)
            found.update(self.files)
        self.files.update(found)

    WhiteNoiseMiddleware.add_files_from_finders = once
    yield
    WhiteNoiseMiddleware.add_files_from_finders = look
