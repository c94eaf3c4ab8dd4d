"""Data that all tests of a module share: created before the first test, rolled back after the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings
from pytest_django import DjangoDbBlocker

Data = TypeVar("Data")


def quick_passwords() -> override_settings:
    """Hash passwords as single tests do: settings of a test do not apply to the fixtures of its module."""
    return override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])


@contextmanager
def as_owner() -> Iterator[BaseDatabaseWrapper]:
    """Run the block as the role that owns the tables, which can disable triggers."""
    usual = connections["default"]
    owner = connections.create_connection("owner")
    owner.alias = "default"
    connections["default"] = owner
    try:
        yield owner
    finally:
        owner.close()
        connections["default"] = usual


def module_data(blocker: DjangoDbBlocker, make: Callable[[], Data]) -> Iterator[Data]:
    """Create data in a transaction around all tests of a module; each test runs in a savepoint of it.

    The fixture whose body this is depends on `django_db_setup`. No test of the module may commit (`transaction=True`):
    it would wait forever for the locks of this transaction.
    """
    outermost = transaction.atomic()
    outermost._from_testcase = True  # as in Django's TestCase: durable transactions are part of this one
    with blocker.unblock():
        outermost.__enter__()
    try:
        with blocker.unblock(), quick_passwords():
            data = make()
        yield data
    finally:
        with blocker.unblock():
            transaction.set_rollback(True)
            outermost.__exit__(None, None, None)
