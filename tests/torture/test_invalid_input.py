"""Every invalid input, sent to every route."""

from __future__ import annotations

import pytest

from tests.journeys import test_invalid_input
from tests.journeys.test_invalid_input import (  # noqa: F401  run here, with all that there is
    found,
    shared_world,
    test_invalid_bodies,
    test_invalid_fields,
    test_invalid_headers,
    test_invalid_queries,
    test_invalid_query_parameters,
    world,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _all_of_it(monkeypatch):
    monkeypatch.setattr(test_invalid_input, "EVERY", 1)
