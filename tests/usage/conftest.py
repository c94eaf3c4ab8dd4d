"""Callers and customers of metering tests, and the check that runs after them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import User
from ledger.services.reconciliation.checks import Scope
from tests.factories import customer_with
from tests.usage import metered_views
from tests.usage.gateway import Gateway
from tests.usage.metered_services import Caller
from tests.usage.metering import price
from usage.services.reconciliation import reconcile


@pytest.fixture
def alice(db: None) -> User:
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def gateway(db: None) -> Gateway:
    return Gateway()


@pytest.fixture
def every_promise_is_kept(db: None) -> Iterator[None]:
    """Check after the test that `reconcile` finds nothing."""
    yield
    assert reconcile(Scope())[1] == []


@pytest.fixture
def caller(alice: User, settings: Any) -> Caller:
    """Alice's program, which calls the views of `metered_views`: `worked` has what they worked on in this test."""
    metered_views.worked.clear()
    settings.ROOT_URLCONF = metered_views.__name__
    price("search", 2)
    return Caller(alice)
