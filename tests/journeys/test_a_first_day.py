"""Whole journeys over HTTP and the command line; `reconcile` is silent at the end of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db(transaction=True)

LOG = """\
203.0.113.7 - - [04/Feb/2026:10:00:00 +0000] "GET /v1/translate?q=hi HTTP/1.1" 200 12 "-" "curl/8.5"
203.0.113.7 - - [04/Feb/2026:10:00:00 +0000] "GET /v1/translate?q=hi HTTP/1.1" 200 12 "-" "curl/8.5"
203.0.113.7 - - [04/Feb/2026:23:59:59 +0000] "GET /logo.png HTTP/1.1" 304 0 "-" "say \\"hi\\""
2001:db8::1 - - [05/Feb/2026:00:00:00 +0200] "POST /v1/translate HTTP/2" 500 0 "-" "-"
203.0.113.7 - - [05/Feb/2026:00:00:00 +0000] "GET /v1/translate HTTP/1.1" 429 0 "-" "-"
this is no line of a log
"""


def command(capsys, name: str, *arguments: str) -> dict:
    capsys.readouterr()
    call_command(name, *arguments, "--json")
    printed: dict = json.loads(capsys.readouterr().out)
    return printed


def test_a_customer_registers_buys_is_charged_and_reads_all_of_it(capsys):
    api = APIClient()
    registered = api.post(
        "/auth/register", {"email": "Ann@Example.org", "password": "a fine long phrase", "full_name": "Ann"}
    )
    tokens = api.post("/auth/login", {"email": "ann@example.ORG", "password": "a fine long phrase"}).json()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    command(capsys, "set_price", "*", "1.5")
    command(
        capsys, "grant_credits", "ann@example.org", "20", "--reason", "purchase", "--reference", "pay_7",
        "--idempotency-key", "pay_7",
    )  # fmt: skip
    key = command(capsys, "create_api_key", "--user", "ann@example.org", "--name", "laptop", "--scope", "account:read")

    credits = api.get("/auth/account/credits").json()
    ledger = api.get("/auth/account/ledger").json()
    summary = api.get("/auth/account/summary").json()
    by_key = APIClient(headers={"X-API-KEY": key["key"]}).get("/v2/account/summary").json()
    api.post("/auth/logout", {"refresh": tokens["refresh"]})

    assert registered.status_code == 201
    assert credits["available"] == 20
    assert [entry["reference"] for entry in ledger["results"]] == ["pay_7"]
    assert summary["email"] == "Ann@Example.org"
    assert summary["credit_balance"]["balance"] == 20
    assert by_key["credits_remaining"] == 20
    assert api.get("/auth/account/credits").status_code == 401
    assert command(capsys, "reconcile")["findings"] == []


def test_a_gateways_log_is_imported_priced_and_paid_once(capsys, tmp_path: Path):
    log = tmp_path / "access.log"
    log.write_text(LOG, encoding="utf-8")
    command(capsys, "set_price", "*", "1")
    command(capsys, "set_price", "*.png", "0")
    host = command(capsys, "create_customer", "203.0.113.7@edge.invalid", "--credits", "1.5")
    options = ("--format", "combined", "--customer-field", "host", "--source", "edge", "--create-customers", "--charge")

    first = command(capsys, "import_requests", str(log), *options)
    again = command(capsys, "import_requests", str(log), *options)

    assert first == {"read": 6, "accepted": 5, "duplicates": 0, "rejected": 1, "credits_charged": 1, "unpaid": 1}
    assert again == {"read": 6, "accepted": 0, "duplicates": 5, "rejected": 1, "credits_charged": 0, "unpaid": 0}
    assert command(capsys, "reconcile", "--user", str(host["user_id"]))["findings"] == []
    assert command(capsys, "reconcile")["findings"] == []
