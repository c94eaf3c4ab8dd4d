"""Calls generated from the API's document, and the checks of each response."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import schemathesis
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.auths import AuthContext, AuthStorage
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.journeys.access_table import TABLE, World
from tests.journeys.routes import Route, document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = [Route(method.upper(), path) for path, calls in document()["paths"].items() for method in calls]
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE


def takes_anything(route: Route) -> bool:
    operation = document()["paths"][route.path][route.method.lower()]
    asked = [each for each in operation.get("parameters", []) if each["in"] != "header"]
    return bool(asked or operation.get("requestBody") or operation.get("security"))


MADE = [(route, POSITIVE) for route in OPERATIONS]
MADE += [(route, NEGATIVE) for route in OPERATIONS if takes_anything(route)]


def load_schema() -> Any:
    loaded = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig(seed=1))
    loaded.app = get_wsgi_application()
    return loaded


@contextmanager
def one_transaction() -> Iterator[None]:
    """Keep the connection between calls, as Django's own test client does: the test's transaction is open on it."""
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    yield
    signals.request_started.connect(close_old_connections)
    signals.request_finished.connect(close_old_connections)


def credentials(world: World, caller: str = "owner") -> dict[str, str]:
    sent = world.clients[caller].defaults
    known = {"HTTP_AUTHORIZATION": "Authorization", "HTTP_X_API_KEY": "X-API-KEY"}
    return {header: sent[name] for name, header in known.items() if name in sent}


def signing(world: World, caller: str) -> AuthStorage:
    """Return the hook that adds the caller's token and key to each call."""

    class Signed:
        def get(self, case: schemathesis.Case, context: AuthContext) -> dict[str, str]:
            return credentials(world, caller)

        def set(self, case: schemathesis.Case, data: dict[str, str], context: AuthContext) -> None:
            case.headers.update(data)

    storage = AuthStorage()
    storage()(Signed)
    return storage


def answer_to(case: schemathesis.Case) -> Any:
    """Make the call, and roll it back."""
    before = transaction.savepoint()
    answer = case.call()
    transaction.savepoint_rollback(before)
    return answer


def check_calls(world: World, schema: Any, route: Route, mode: GenerationMode, *, cases: int) -> None:
    """Make this many calls of an operation from the document, and check each response against it."""
    row = TABLE[route]
    operation = schema[route.path][route.method]
    asked = {"generation_mode": mode, "auth_storage": signing(world, row.caller)}
    made = operation.as_strategy(**asked)
    if row.of is not None and mode is POSITIVE:  # hardly any other id exists
        made |= operation.as_strategy(**asked, path_parameters=row.path_ids(world))

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=made)
    def answers(case: schemathesis.Case) -> None:
        answer = answer_to(case)

        case.validate_response(answer, checks=CHECKS)
        assert answer.headers["x-request-id"]

    answers()
