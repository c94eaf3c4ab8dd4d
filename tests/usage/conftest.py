"""A customer with credits, for tests of metering."""

from __future__ import annotations

import pytest

from accounts.models import User
from tests.factories import customer_with
from tests.usage.gateway import Gateway


@pytest.fixture
def alice(db: None) -> User:
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def gateway(db: None) -> Gateway:
    return Gateway()
