"""The API conforms to its document: some 340 calls generated from it are answered as it says (torture: 10,000)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.access_table import TABLE, World, owners_world, unlimited
from tests.journeys.conformance import (
    CHECKS,
    MADE,
    OPERATIONS,
    answer_to,
    check_calls,
    credentials,
    load_schema,
    one_transaction,
)
from tests.module_data import module_data

pytestmark = pytest.mark.django_db
CASES = 3  # at most, of each operation and mode


@pytest.fixture(scope="module")
def schema() -> Any:
    return load_schema()


@pytest.fixture(scope="module")
def shared_world(django_db_setup, django_db_blocker) -> Iterator[World]:
    yield from module_data(django_db_blocker, owners_world)


@pytest.fixture
def world(settings, shared_world, db) -> World:
    unlimited(settings)
    return shared_world.copy()


@pytest.fixture(autouse=True)
def _one_transaction() -> Iterator[None]:
    with one_transaction():
        yield


@pytest.mark.parametrize(("route", "mode"), MADE, ids=str)
def test_every_call_is_answered_as_the_document_says(world, schema, route, mode):
    check_calls(world, schema, route, mode, cases=CASES)


@pytest.mark.parametrize("route", OPERATIONS, ids=str)
def test_responses_to_valid_calls_match_the_document(world, schema, route):
    row = TABLE[route]
    case = schema[route.path][route.method].Case(
        path_parameters=row.path_ids(world),
        headers={**credentials(world, row.caller), "Idempotency-Key": "anything"},
        **({"body": row.body(world), "media_type": "application/json"} if row.body else {}),
    )

    answer = answer_to(case)

    assert answer.status_code == row.access[row.caller]
    case.validate_response(answer, checks=CHECKS)


@pytest.mark.parametrize("name", ["ledger", "holds", "requests", "api-keys", "top-ups"])
def test_a_csv_is_of_the_type_that_the_document_names(world, schema, name):
    case = schema[f"/auth/account/{name}"]["GET"].Case(query={"format": "csv"}, headers=credentials(world))

    answer = answer_to(case)

    assert answer.headers["content-type"][0].startswith("text/csv")
    case.validate_response(answer, checks=CHECKS)
