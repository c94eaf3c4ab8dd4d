"""Users of the ledger's tests: Alice has credits, Bob is new, the clerk is staff."""

from __future__ import annotations

import pytest

from accounts.models import User
from tests.factories import StaffFactory, UserFactory, customer_with


@pytest.fixture
def alice(db: None) -> User:
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def bob(db: None) -> User:
    return UserFactory(email="bob@example.com")


@pytest.fixture
def clerk(db: None) -> User:
    return StaffFactory(email="clerk@example.com")
