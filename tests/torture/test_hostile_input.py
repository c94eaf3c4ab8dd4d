"""Every invalid input, sent to every route."""

from __future__ import annotations

import pytest

from tests.journeys import test_hostile_input as hostile
from tests.journeys.test_hostile_input import (  # noqa: F401  run here, with all that there is
    found,
    shared_world,
    test_hostile_bodies,
    test_hostile_fields,
    test_hostile_headers,
    test_hostile_queries,
    test_hostile_query_parameters,
    world,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _all_of_it(monkeypatch):
    monkeypatch.setattr(hostile, "EVERY", 1)
