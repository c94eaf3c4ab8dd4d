"""One resource costs the same however a client spells it, and however its requests are reported."""

from __future__ import annotations

import asyncio
import gc
import io
import json
from decimal import Decimal
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.db import connection

from accounts.key_format import hash_of
from ledger.models import Entry, Hold
from ledger.services.reconciliation.checks import Scope
from tests.factories import ApiKeyFactory, customer_with
from tests.ledger.running import run
from tests.usage.gateway import Gateway
from tests.usage.metering import price, rolled_up
from usage.key_verdicts import verdict_on
from usage.metering import MeteredAsgi, MeteredWsgi
from usage.models import RequestLog
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db

TOKEN = "s3cr3t-t0ken"
SPELLINGS = [
    "/v1/documents/42",
    "/v1//documents/42",
    "//v1/documents/42",
    "/v1/documents/42/",
    "/v1/%64ocuments/42",
    "/v1/x/../documents/./42",
    "/v1/x/%2e%2E/documents/42",
    "http://api.example.com/v1/documents/42",
    f"HTTPS://alice:{TOKEN}@api.example.com:443//v1/documents/42?token={TOKEN}#{TOKEN}",
    f"/v1/documents/42?access_token={TOKEN}",
    f"/v1/documents/42#{TOKEN}",
]
STORED = {"/v1/documents/42", "/v1/documents/42/"}


@pytest.fixture
def alice(db):
    price("/v1/documents/{id}", "12.5")
    price("*", 1)
    return customer_with(10_000, email="alice@example.com")


def by_charge(alice, spelt):
    answer = Gateway().post("/v2/charges", {"user_id": alice.pk, "endpoint": spelt})
    assert answer.status_code == 201, answer.content


def by_hold_and_capture(alice, spelt):
    gateway = Gateway()
    hold = gateway.post("/v2/holds", {"user_id": alice.pk, "endpoint": spelt}).json()
    assert hold["credits"] == 12.5
    gateway.post(f"/v2/holds/{hold['id']}/capture", {"endpoint": spelt})


def by_event(alice, spelt, place="data"):
    event = {"id": "1", "source": f"gateway-{place}", "subject": str(alice.pk)}
    event |= {"data": {"endpoint": spelt}} if place == "data" else {"type": spelt}
    answer = Gateway().post("/v2/events", event, key=None)
    assert answer.json()["accepted"] == 1, answer.content


def by_type_of_event(alice, spelt):
    by_event(alice, spelt, place="type")


def imported(alice, path, format, text):
    path.write_text(text, encoding="utf-8")
    field = "user" if format == "combined" else "email"
    named = path.with_suffix(".map")
    named.write_text(f"alice,{alice.pk}\n")
    ran = run(
        *("import_requests", path, "--format", format, "--customer-field", field, "--source", "gateway"),
        *("--customers", named, "--charge", "--json"),
    )
    assert (ran.code, ran.json["accepted"]) == (0, 1), ran.err


def by_log(alice, spelt, tmp_path):
    line = f'203.0.113.7 - alice [20/Nov/2026:10:00:00 +0000] "GET {spelt} HTTP/1.1" 200 1 "-" "-"\n'
    imported(alice, tmp_path / "access.log", "combined", line)


def by_json_lines(alice, spelt, tmp_path):
    record = {"time": "2026-11-20T10:00:00Z", "email": alice.email, "path": spelt, "status": 200}
    imported(alice, tmp_path / "access.jsonl", "jsonl", json.dumps(record) + "\n")


def by_csv(alice, spelt, tmp_path):
    text = f"time,email,path,status\n2026-11-20T10:00:00Z,{alice.email},{spelt},200\n"
    imported(alice, tmp_path / "access.csv", "csv", text)


def decoded(spelt):
    """Return the path as a server passes it to an application: decoded once."""
    return spelt.replace("%64", "d").replace("%2e", ".").replace("%2E", ".")


def by_wsgi(alice, spelt):
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"done"]

    environ: dict[str, Any] = {"PATH_INFO": decoded(spelt), "HTTP_X_API_KEY": ApiKeyFactory(user=alice).raw}
    environ |= {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "QUERY_STRING": TOKEN, "wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    MeteredWsgi(application)(environ, lambda *told: lambda piece: None).close()


def by_asgi(alice, spelt):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async def send(message: Any) -> None: ...

    key = ApiKeyFactory(user=alice).raw.encode()
    scope = {"type": "http", "method": "GET", "path": decoded(spelt), "query_string": TOKEN.encode()}
    asyncio.run(MeteredAsgi(application)(scope | {"headers": [(b"x-api-key", key)]}, None, send))
    gc.collect()  # its threads are gone, and so are their connections


def by_a_function_of_the_request(alice, spelt):
    environ: dict[str, Any] = {"HTTP_X_API_KEY": ApiKeyFactory(user=alice).raw}
    setup_testing_defaults(environ)
    application = MeteredWsgi(lambda environ, start: start("200 OK", []) or [b"done"], lambda environ: spelt)
    application(environ, lambda *told: lambda piece: None).close()


WAYS = [by_charge, by_hold_and_capture, by_event, by_type_of_event, by_log, by_json_lines, by_csv]


def stored_texts():
    """Return all stored requests, entries and holds, as one text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(t, E'\n') FROM (SELECT l::text AS t FROM usage_requestlog l"
            " UNION ALL SELECT e::text FROM ledger_entry e UNION ALL SELECT h::text FROM ledger_hold h"
            " UNION ALL SELECT k::text FROM ledger_operationkey k) all_of_it"
        )
        return cursor.fetchone()[0]


@pytest.mark.parametrize("spelt", SPELLINGS)
@pytest.mark.parametrize("way", WAYS)
def test_a_path_in_another_spelling_costs_the_same_and_no_token_is_stored(alice, way, spelt, tmp_path):
    way(alice, spelt, tmp_path) if way in {by_log, by_json_lines, by_csv} else way(alice, spelt)

    logged = RequestLog.objects.get()
    assert (logged.endpoint, logged.credits) == ("/v1/documents/{id}", Decimal("12.5"))
    assert logged.path in STORED
    assert TOKEN not in stored_texts()
    assert reconcile(Scope())[1] == []


@pytest.mark.parametrize("spelt", [each for each in SPELLINGS if each.startswith("/") and TOKEN not in each])
@pytest.mark.parametrize("way", [by_asgi, by_wsgi, by_a_function_of_the_request])
@pytest.mark.django_db(transaction=True)  # metering ends with its connection
def test_a_metered_path_in_another_spelling_costs_the_same(alice, way, spelt):
    way(alice, spelt)

    logged = RequestLog.objects.get()
    assert (logged.endpoint, logged.credits) == ("/v1/documents/{id}", Decimal("12.5"))
    assert logged.path in STORED
    assert TOKEN not in stored_texts()


@pytest.mark.parametrize("spelt", SPELLINGS)
def test_a_verdict_prices_a_path_in_another_spelling_the_same(alice, spelt):
    verdict = verdict_on(key_hash=hash_of(ApiKeyFactory(user=alice).raw), endpoint=spelt, method="", units=Decimal(1))

    assert verdict.credits_required == Decimal("12.5")


@pytest.mark.parametrize("priced", ["/v1//reports", "/v1/x/../reports", "https://api.example.com/v1/%72eports"])
def test_a_price_is_stored_in_the_spelling_that_is_looked_for(alice, priced):
    assert price(priced, 3).endpoint == "/v1/reports"

    by_charge(alice, "/v1/reports")

    assert RequestLog.objects.get().credits == 3


@pytest.mark.parametrize("code", ["translate", "POST:/x", "images//generate", "GET /v1//x", "a%41"])
def test_a_code_is_priced_counted_and_stored_as_it_is(alice, code):
    price(code, 7)

    by_charge(alice, code)

    assert [(log.endpoint, log.path) for log in RequestLog.objects.all()] == [(code, code)]
    assert rolled_up(alice) == [(code, 1, 0, 0, 7)]


def test_a_refusal_for_want_of_a_price_shows_no_token(db):
    customer = customer_with(10)

    answer = Gateway().post("/v2/charges", {"user_id": customer.pk, "endpoint": f"/v1//x?token={TOKEN}"})
    event = {"id": "1", "source": "g", "subject": str(customer.pk), "data": {"endpoint": f"/v1//x?token={TOKEN}"}}
    reported = Gateway().post("/v2/events", event, key=None)

    assert (answer.status_code, answer.json()["code"]) == (400, "price_unknown")
    assert reported.json()["results"][0]["code"] == "price_unknown"
    assert TOKEN not in answer.content.decode() + reported.content.decode()
    assert "/v1/x" in reported.json()["results"][0]["detail"]


def test_a_query_string_is_kept_where_the_setting_says_so_and_costs_nothing_else(alice, settings):
    settings.KEEP_QUERY_STRINGS = True

    by_charge(alice, "http://u:p@h//v1/documents/42?page=2#top")

    logged = RequestLog.objects.get()
    assert (logged.path, logged.credits) == ("/v1/documents/42?page=2", Decimal("12.5"))


def test_a_charge_repeated_with_its_key_is_known_by_what_was_sent(alice):
    gateway, body = Gateway(), {"user_id": alice.pk, "endpoint": "/v1//documents/42?x=1"}

    first, second = (gateway.post("/v2/charges", body, key="k") for _ in range(2))

    assert first.json()["id"] == second.json()["id"]
    assert Entry.objects.filter(user=alice, reason="usage").count() == 1
    assert not Hold.objects.exists()
