"""`MeteredWsgi` and `MeteredAsgi`: whole applications whose requests are paid for."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from django.db import connection

from config.rounds import Round
from tests.accounts.races import at_once
from tests.factories import ApiKeyFactory, customer_with
from tests.usage.metered_services import captures, logged
from tests.usage.metering import price
from tests.usage.outages import database_away
from usage.metering import MeteredAsgi, MeteredWsgi
from usage.services.spool.files import Spool
from usage.services.spool.replaying import replay_spool

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("every_promise_is_kept")]


@pytest.fixture
def key(alice) -> str:
    price("search", 2)
    price("/v1/{name}", 3)
    return ApiKeyFactory(user=alice).raw


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self) -> str:
        return json.loads(self.body)["code"]


class Work:
    """The work of both applications: record the body, use and respond as the query says."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def asked(self, query: str, body: bytes, metering: Any) -> int:
        self.bodies.append(body)
        wanted = dict(pair.split("=") for pair in query.split("&") if pair)
        if "units" in wanted:
            metering.use(units=wanted["units"])
        if wanted.get("fail") == "before":
            raise ZeroDivisionError("secret")
        return int(wanted.get("status", 200))


class Wsgi(Work):
    """A WSGI application of ten lines, and a server of twenty."""

    def __init__(self, endpoint: Any = "search", **terms: Any) -> None:
        super().__init__()
        self.metered = MeteredWsgi(self.application, endpoint, **{"units": 5} | terms)

    def application(self, environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status = self.asked(environ["QUERY_STRING"], body, environ["tollbook.metering"])

        def pieces() -> Any:
            yield b"do"
            if "fail=within" in environ["QUERY_STRING"]:
                raise ZeroDivisionError("secret")
            yield b"ne"

        start_response(f"{status} As Asked", [("Content-Type", "text/plain")])
        return pieces()

    def ask(self, key: str | None, path: str = "/v1/search", body: bytes = b"", **headers: str) -> Answer:
        path, _, query = path.partition("?")
        sent = {"HTTP_" + name.upper(): value for name, value in headers.items()}
        environ: dict[str, Any] = sent | ({"HTTP_X_API_KEY": key} if key else {})
        environ |= {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
        }
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        setup_testing_defaults(environ)
        started: list[Any] = []
        pieces = validator(self.metered)(environ, lambda *told: started.append(told) or (lambda piece: None))
        try:
            answered = b"".join(pieces)
        finally:
            pieces.close()
        return Answer(int(started[-1][0].split()[0]), dict(started[-1][1]), answered)


class Asgi(Work):
    """The same as an ASGI application, and its server."""

    def __init__(self, endpoint: Any = "search", **terms: Any) -> None:
        super().__init__()
        self.metered = MeteredAsgi(self.application, endpoint, **{"units": 5} | terms)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            self.bodies.append(b"lifespan")
            return
        body = (await receive())["body"]
        query = scope["query_string"].decode()
        status = self.asked(query, body, scope["tollbook.metering"])
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"do", "more_body": True})
        if "fail=within" in query:
            raise ZeroDivisionError("secret")
        await send({"type": "http.response.body", "body": b"ne"})

    def ask(self, key: str | None, path: str = "/v1/search", body: bytes = b"", **headers: str) -> Answer:
        path, _, query = path.partition("?")
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | ({"x-api-key": key} if key else {})
        scope = {
            "type": "http", "method": "POST", "path": path, "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }  # fmt: skip
        coming = [{"type": "http.request", "body": body}]
        messages: list[Any] = []

        async def receive() -> Any:
            return coming.pop() if coming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            messages.append(message)

        asyncio.run(self.metered(scope, receive, send))
        start = messages[0]
        headers_sent = {name.decode().title(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers_sent, b"".join(message["body"] for message in messages[1:]))


@pytest.fixture(params=[Wsgi, Asgi])
def kind(request):
    return request.param


def test_a_request_is_held_worked_on_and_paid(alice, key, kind):
    service = kind()

    answer = service.ask(key, body=b"hello")

    assert (answer.status, answer.body, service.bodies) == (200, b"done", [b"hello"])
    assert logged(alice) == [("search", 200, 5, 10)]


def test_usage_is_the_cost(alice, key, kind):
    kind().ask(key, "/x?units=3")

    assert captures(alice) == [6]


def test_without_an_endpoint_the_path_is_priced(alice, key, kind):
    kind(None, units=1).ask(key, "/v1/anything")

    assert logged(alice) == [("/v1/{name}", 200, 1, 3)]


def test_terms_may_be_functions_of_what_the_framework_gives(alice, key, kind):
    place = "PATH_INFO" if kind is Wsgi else "path"
    kind(lambda request: request[place], units=lambda request: len(request[place])).ask(key, "/v1/abc")

    assert logged(alice) == [("/v1/{name}", 200, 7, 21)]


def test_refusals_have_the_shape_of_the_api_and_no_work_is_done(alice, key, kind):
    service = kind()
    poor = ApiKeyFactory(user=customer_with(9)).raw

    refused = {
        "missing": service.ask(None),
        "invalid": service.ask("tb_live_x"),
        "poor": service.ask(poor, x_request_id="mine"),
    }

    assert {name: (answer.status, answer.code) for name, answer in refused.items()} == {
        "missing": (401, "api_key_missing"),
        "invalid": (401, "api_key_invalid"),
        "poor": (402, "insufficient_credits"),
    }
    for answer in refused.values():
        assert answer.headers["Content-Type"] == "application/json"
        assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert refused["missing"].headers.get("Www-Authenticate", refused["missing"].headers.get("WWW-Authenticate"))
    assert refused["poor"].headers["X-Request-Id"] == "mine"
    assert service.bodies == []


@pytest.mark.parametrize("when", ["before", "within"])
def test_a_bug_costs_nothing(alice, key, kind, when):
    with pytest.raises(ZeroDivisionError):
        kind().ask(key, f"/x?fail={when}")

    assert logged(alice) == [("search", 500, 5, 0)]


def test_an_error_response_costs_nothing(alice, key, kind):
    assert kind().ask(key, "/x?status=503").status == 503

    assert logged(alice) == [("search", 503, 5, 0)]


def test_a_repeated_request_is_paid_once_and_gets_its_body(alice, key, kind):
    service = kind()

    first = service.ask(key, body=b"hello", idempotency_key="k")
    again = service.ask(key, body=b"hello", idempotency_key="k")
    other = service.ask(key, body=b"other", idempotency_key="k")

    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert (service.bodies, captures(alice)) == ([b"hello"] * 2, [10])


def test_a_repeated_body_too_long_to_be_remembered_is_refused(alice, key, kind, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 4
    service = kind()

    assert service.ask(key, body=b"hello", idempotency_key="k").status == 413
    assert service.ask(key, body=b"hello").status == 200


def test_concurrent_requests_never_spend_more_than_there_is(key, kind):
    poor = customer_with(35)
    raw, service = ApiKeyFactory(user=poor).raw, kind()

    answers = at_once(6, lambda: service.ask(raw).status)

    assert (answers.count(200), answers.count(402), len(service.bodies)) == (3, 3, 3)
    assert captures(poor) == [10] * 3


@pytest.mark.parametrize("policy", ["closed", "open"])
def test_while_the_database_is_away(alice, key, kind, policy, settings, tmp_path):
    settings.METERING_SPOOL = str(tmp_path)
    service = kind(fail_open=policy == "open")

    with database_away():
        answer = service.ask(key)

    assert (answer.status, len(service.bodies)) == ((200, 1) if policy == "open" else (503, 0))
    assert ("Retry-After" in answer.headers) == (policy == "closed")
    assert replay_spool(Spool(tmp_path, max_bytes=10**6), Round()).settled == (policy == "open")
    assert captures(alice) == ([10] if policy == "open" else [])


def test_a_path_that_is_not_text_is_priced_too(alice, key):
    Wsgi(None, units=1).ask(key, "/v1/a\xff\x00")

    assert logged(alice) == [("/v1/{name}", 200, 1, 3)]


def test_other_scopes_pass_by(db):
    service = Asgi()

    asyncio.run(service.metered({"type": "lifespan"}, None, None))

    assert service.bodies == [b"lifespan"]
    assert connection.settings_dict
