"""JSON lines as Traefik, Caddy, Kong and AWS API Gateway write them, read by the recipes of docs/imports.md."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from pathlib import Path

import pytest
from django.conf import settings

from tests.ledger.running import run
from usage.models import RequestLog
from usage.services.imports.records import jsonl_parser
from usage.services.imports.reported import LineRejected
from usage.services.imports.times import log_time

RECIPES = dict(
    re.findall(
        r"^\| ([^|`]+) \| `(--customer-field [^`]+)` \|$",
        (Path(settings.BASE_DIR) / "docs/imports.md").read_text(),
        re.M,
    )
)
AT = dt.datetime(2026, 11, 20, 10, 0, tzinfo=dt.UTC)
LINES = {
    "Traefik": {
        "ClientHost": "203.0.113.7", "ClientUsername": "-", "DownstreamStatus": 200, "Duration": 2155389,
        "RequestMethod": "GET", "RequestPath": "/v1/items", "StartUTC": "2026-11-20T10:00:00.735539596Z",
        "request_X-Api-Key": "tb_live_AAAAAAAAAAAA", "time": "2026-11-20T10:00:00Z", "level": "info",
    },
    "Caddy": {
        "ts": 1795168800.735539, "request": {"client_ip": "203.0.113.7", "method": "GET", "uri": "/v1/items?x=1"},
        "user_id": "acme", "duration": 0.002155, "status": 200, "level": "info", "logger": "http.log.access",
    },
    "Kong": {
        "latencies": {"request": 515, "kong": 58, "proxy": -1}, "client_ip": "203.0.113.7",
        "request": {"uri": "/v1/items", "method": "GET"}, "response": {"status": 429},
        "consumer": {"username": "acme"}, "started_at": 1795168800735,
    },
    "AWS API Gateway": {
        "requestId": "r-1", "ip": "203.0.113.7", "user": "acme", "requestTime": "20/Nov/2026:10:00:00 +0000",
        "httpMethod": "GET", "resourcePath": "/v1/items", "status": "200",
    },
}  # fmt: skip
READ = {
    "Traefik": ("203.0.113.7@edge.invalid", 200, 735_539, 2, None),
    "Caddy": ("acme@edge.invalid", 200, 735_539, 2, None),
    "Kong": ("acme@edge.invalid", 429, 735_000, None, None),
    "AWS API Gateway": ("acme@edge.invalid", 200, 0, None, "r-1"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("gateway", LINES)
def test_the_recipe_for_a_gateway_reads_its_log(tmp_path, gateway):
    path = tmp_path / "access.jsonl"
    path.write_text(json.dumps(LINES[gateway]) + "\n")

    ran = run(
        *("import_requests", path, "--format", "jsonl", "--source", "edge", "--create-customers", "--json"),
        *shlex.split(RECIPES[gateway]),
    )

    assert (ran.code, ran.json["accepted"]) == (0, 1), ran.err
    logged = RequestLog.objects.get()
    customer, status, microsecond, latency_ms, reference = READ[gateway]
    assert (logged.user.email, logged.status, logged.method, logged.path) == (customer, status, "GET", "/v1/items")
    assert (logged.occurred_at, logged.latency_ms) == (AT.replace(microsecond=microsecond), latency_ms)
    assert logged.reference == reference


@pytest.mark.django_db
def test_a_column_may_have_another_name(tmp_path):
    path = tmp_path / "access.csv"
    path.write_text("When;Who;URL;Code\n1795168800;203.0.113.7;/v1/items;200\n")

    ran = run(
        *("import_requests", path, "--format", "csv", "--source", "edge", "--create-customers", "--json"),
        *("--customer-field", "host", "--field", "host=who", "--field", "time=When", "--field", "path=url"),
        *("--field", "status=CODE"),
    )

    assert (ran.code, ran.json["accepted"]) == (0, 1), ran.err
    assert RequestLog.objects.get().occurred_at == AT


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("format", "field"),
    [("jsonl", "path"), ("jsonl", "path="), ("jsonl", "uri=path"), ("combined", "path=uri")],
)
def test_a_place_of_no_field_is_wrong_usage(tmp_path, format, field):
    path = tmp_path / "access.log"
    path.write_text("")

    ran = run(
        *("import_requests", path, "--format", format, "--source", "edge", "--customer-field", "host"),
        *("--field", field),
    )

    assert (ran.code, ran.out) == (2, "")
    assert "--field" in ran.err


@pytest.mark.parametrize(
    ("places", "record", "reason"),
    [
        ({"path": "request.uri"}, {"request": None}, "no path"),
        ({"path": "request.uri"}, {"request": "/x"}, "no path"),
        ({"path": "request.uri"}, {"request": {"uri": {"raw": "/x"}}}, "path is not a text"),
        ({"status": "response.status"}, {"response": []}, "no status"),
        ({"host": "client"}, {"client": "-"}, "names no host"),
    ],
)
def test_a_missing_place_is_reported(places, record, reason):
    common = {"time": "2026-11-20T10:00:00Z", "path": "/x", "status": 200, "host": "203.0.113.7"}

    with pytest.raises(LineRejected, match=reason):
        jsonl_parser("host", places)(json.dumps(common | record))


def test_a_name_with_a_dot_comes_before_a_member():
    common = {"time": "2026-11-20T10:00:00Z", "status": 200, "host": "203.0.113.7"}
    record = common | {"url.path": "/flat", "url": {"path": "/nested"}}

    assert jsonl_parser("host", {"path": "url.path"})(json.dumps(record)).path == "/flat"


@pytest.mark.parametrize(
    ("value", "microsecond"),
    [
        *((1795168800, 0), ("1795168800", 0), ("1795168800.735", 735_000), (1795168800735, 735_000)),
        *((1795168800735539, 735_539), (1795168800735539596, 735_539), ("20/Nov/2026:11:00:00 +0100", 0)),
    ],
)
def test_a_unix_time_is_read_in_its_unit(value, microsecond):
    assert log_time(value) == AT.replace(microsecond=microsecond)
