"""Invalid input to every path of the API: no 5xx, no HTML, the one shape of errors, and a request id.

Each route is sent a third of the invalid inputs, another route another third (torture: each route all of them).
"""

from __future__ import annotations

import io
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import pytest
from django.db import transaction

from config.http import meters
from tests.journeys.access_table import TABLE, World, caller_of, owners_world, unlimited
from tests.journeys.invalid_inputs import (
    BODIES,
    CREDENTIALS,
    FIELD_VALUES,
    HEADERS,
    METHODS,
    PATH_PARTS,
    QUERIES,
    QUERY_REFUSALS,
    QUERY_VALUES,
)
from tests.journeys.routes import Route, api_paths, document, routes
from tests.module_data import module_data

pytestmark = pytest.mark.django_db
API = [route for route in routes() if route.path != "/"]
PAGE = "/api/docs"  # the one API path whose response is for people
# These accept larger bodies and lists, and report an invalid event in its result.
BATCHES = ("/v2/events", "/api/v1/events")
TAKEN_BY_BATCHES = ("1 MiB and one byte", "list")
EVERY = 3
UNDOCUMENTED_PARAMETERS = {"/api/schema": ["format"]}

Thing = TypeVar("Thing")


def some(things: Iterable[Thing], *, of: object) -> list[Thing]:
    """Return a third of the inputs, chosen by `of`."""
    first = zlib.crc32(str(of).encode()) % EVERY
    return [thing for number, thing in enumerate(things) if number % EVERY == first]


@pytest.fixture(scope="module")
def shared_world(django_db_setup, django_db_blocker) -> Iterator[World]:
    yield from module_data(django_db_blocker, owners_world)


@pytest.fixture
def world(settings, shared_world, db) -> World:
    unlimited(settings)
    forget_what_was_counted()
    made = shared_world.copy()
    for client in made.clients.values():
        client.raise_request_exception = False
    return made


def forget_what_was_counted() -> None:
    """Keep /metrics short: thousands of odd calls before have made it long."""
    meters._children.cache_clear()
    for meter in (meters._requests, meters._durations):
        meter.clear()


def send(
    world: World, method: str, path: str, body: bytes = b"", *, by: str, query: str = "", **environment: str
) -> Any:
    """Make one call as `by`, and roll back what it did."""
    kind = environment.pop("kind", "application/json" if body else "")
    # The server's own stream: the test client's refuses to be asked for more than there is.
    sent = {"QUERY_STRING": query, "wsgi.input": io.BytesIO(body), **environment}
    if path.startswith("//"):  # the test client would take what follows for a host
        path, sent["PATH_INFO"] = "/", path
    before = transaction.savepoint()
    answer = world.clients[by].generic(method, path, body, kind, **sent)
    answer.text_sent = answer.getvalue()  # streams, too, while what they read is there
    transaction.savepoint_rollback(before)
    return answer


def ask(world: World, route: Route, body: bytes | None = None, *, path: str = "", **environment: str) -> Any:
    """Make the call of a route as a caller who may, with its usual body unless another is passed."""
    sent = body_of(world, route) if body is None else body
    return send(world, route.method, path or path_of(world, route), sent, by=TABLE[route].caller, **environment)


def path_of(world: World, route: Route) -> str:
    return route.path.format(**TABLE[route].path_ids(world))


def body_of(world: World, route: Route) -> bytes:
    row = TABLE[route]
    return json.dumps(row.body(world)).encode() if row.body else b""


def wrong(answer: Any, path: str, status: int | None = None) -> Iterator[str]:
    """Return all that is wrong with a response."""
    kind = answer.headers.get("Content-Type", "")
    if answer.status_code >= 500:
        yield f"{answer.status_code}"
    if status is not None and answer.status_code != status:
        yield f"{answer.status_code}, not {status}"
    if not answer.headers.get("X-Request-Id", "").isascii() or not answer.headers.get("X-Request-Id"):
        yield "no request id"
    if answer.status_code >= 400:
        if kind != "application/json":
            yield f"an error of type {kind}"
        elif answer.text_sent and not is_error(json.loads(answer.text_sent)):
            yield f"no error: {answer.text_sent[:100]!r}"
    elif kind.startswith("text/html") and path != PAGE:
        yield "HTML"


def is_error(body: Any) -> bool:
    errors = body.get("errors", {})
    lists = [messages for messages in errors.values() if isinstance(messages, list) and messages]
    return isinstance(body["detail"], str) and isinstance(body["code"], str) and len(lists) == len(errors)


@pytest.fixture
def found() -> Iterator[list[str]]:
    """Collect what is wrong; the test fails with all of it."""
    problems: list[str] = []
    yield problems
    assert problems == []


@pytest.mark.parametrize("route", API, ids=str)
def test_invalid_bodies(world, found, route):
    takes_body = TABLE[route].body is not None

    for name, (body, kind, status) in some(BODIES.items(), of=route):
        is_known = takes_body and not (route.path in BATCHES and name in TAKEN_BY_BATCHES)

        answer = ask(world, route, body, kind=kind)

        found += [f"{name}: {each}" for each in wrong(answer, route.path, status if is_known else None)]


@pytest.mark.parametrize("route", [route for route in API if TABLE[route].body is not None], ids=str)
def test_invalid_fields(world, found, route):
    usual = TABLE[route].body(world)
    fields = set(properties_of(route)) | set(usual)

    for field in fields:
        for value in some(FIELD_VALUES, of=f"{route} {field}"):
            answer = ask(world, route, json.dumps({**usual, field: value}).encode())

            found += [f"{field}={value!r:.40}: {each}" for each in wrong(answer, route.path)]


def properties_of(route: Route) -> list[str]:
    schemas = document()["components"]["schemas"]
    operation = document()["paths"][route.path][route.method.lower()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    while "properties" not in schema:  # of an event or an array of events, the event
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema["oneOf"][0]
    return list(schema["properties"])


def parameters_of(route: Route) -> list[str]:
    operation = document()["paths"].get(route.path, {}).get(route.method.lower(), {})
    named = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
    return named + UNDOCUMENTED_PARAMETERS.get(route.path, [])


@pytest.mark.parametrize("route", API, ids=str)
def test_invalid_query_parameters(world, found, route):
    for name in parameters_of(route):
        values = QUERY_VALUES | dict.fromkeys(QUERY_REFUSALS.get(name, ()), 400)
        for value, status in some(values.items(), of=f"{route} {name}"):
            answer = ask(world, route, b"", query=f"{name}={value.format(name=name)}")

            found += [f"{name}={value:.40}: {each}" for each in wrong(answer, route.path, status)]
            if status == 400 and answer.status_code == 400 and name not in json.loads(answer.text_sent)["errors"]:
                found.append(f"{name}={value:.40} is not named")


@pytest.mark.parametrize("route", API, ids=str)
def test_invalid_queries(world, found, route):
    for name, query in some(QUERIES.items(), of=route):
        answer = ask(world, route, query=query)

        found += [f"{name}: {each}" for each in wrong(answer, route.path)]


@pytest.mark.parametrize("route", [route for route in API if "{" in route.path], ids=str)
def test_invalid_path_parts_are_not_found(world, found, route):
    for part in PATH_PARTS:
        answer = ask(world, route, path=re.sub(r"{\w+}", lambda _: part, route.path))  # noqa: B023

        found += [f"{part:.40}: {each}" for each in wrong(answer, route.path, 404)]


@pytest.mark.parametrize("route", API, ids=str)
def test_invalid_headers(world, found, route):
    for name, (environment, status) in some(HEADERS.items(), of=route):
        answer = ask(world, route, **environment)

        found += [f"{name}: {each}" for each in wrong(answer, route.path, status)]


@pytest.mark.parametrize("route", API, ids=str)
def test_invalid_credentials(world, found, route):
    is_open = TABLE[route].access["anonymous"] < 400
    world.clients[TABLE[route].caller].credentials()

    for name, environment in CREDENTIALS.items():
        answer = ask(world, route, **{"HTTP_AUTHORIZATION": "", "HTTP_X_API_KEY": ""} | environment)

        found += [f"{name}: {each}" for each in wrong(answer, route.path, None if is_open else 401)]


@pytest.mark.parametrize("path", api_paths())
def test_invalid_methods_are_not_allowed(world, found, path):
    for method in METHODS:
        answer = send(world, method, path.format(id=1, delivery_id=1), b"{}", by=caller_of(path))

        if path != "/metrics" or method != "get":
            found += [f"{method:.40}: {each}" for each in wrong(answer, path)]


@pytest.mark.parametrize("path", api_paths())
def test_paths_that_are_nearly_right_are_not_found(world, found, path):
    whole = path.format(id=1, delivery_id=1)
    ends_in_an_id = path.endswith("id}")  # what follows it is part of the id, until a slash

    for method, nearly in itertools.product(
        ("GET", "POST", "PROPFIND"), ("/{}", "{}/", "{}//", "{}%20", "{}.json", "{}%00")
    ):
        answer = send(world, method, nearly.format(whole), by=caller_of(path))
        status = None if ends_in_an_id and "/" not in nearly else 404

        found += [f"{method} {nearly}: {each}" for each in wrong(answer, path, status)]
