"""Conformance to the OpenAPI document: 25 times as many calls as the suite makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.access_table import World, owners_world, unlimited
from tests.journeys.conformance import MADE, check_calls, load_schema, one_transaction

pytestmark = pytest.mark.django_db
CASES = 100  # at most, of each operation and mode


@pytest.fixture(scope="module")
def schema() -> Any:
    return load_schema()


@pytest.fixture
def world(settings) -> World:
    unlimited(settings)
    return owners_world()


@pytest.fixture(autouse=True)
def _one_transaction() -> Iterator[None]:
    with one_transaction():
        yield


@pytest.mark.parametrize(("route", "mode"), MADE, ids=str)
def test_every_response_conforms_to_the_document(world, schema, route, mode):
    check_calls(world, schema, route, mode, cases=CASES)
