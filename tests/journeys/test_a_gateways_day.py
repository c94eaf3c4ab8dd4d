"""A gateway meters a customer over HTTP, who then reads all of it; `reconcile` is silent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.management import call_command

from tests.account import client_of
from tests.factories import ApiKeyFactory, customer_with
from tests.ledger.running import run
from tests.usage.gateway import Gateway, refused

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_gateway_charges_holds_captures_and_refunds_and_the_customer_reads_all_of_it():
    call_command("set_price", "translate", "2")
    call_command("set_price", "render", "10")
    ann, gateway = customer_with(100), Gateway()
    key = ApiKeyFactory(user=ann).raw
    named = {"api_key": key}

    verdict = gateway.post("/v2/keys/verify", {**named, "endpoint": "translate", "units": 3}, key=None).json()
    charged = gateway.post("/v2/charges", {**named, "endpoint": "translate", "units": 3}, key="request 1")
    repeated = gateway.post("/v2/charges", {**named, "endpoint": "translate", "units": "3.0"}, key="request 1")
    failed = gateway.post("/v2/charges", {**named, "endpoint": "translate", "status_code": 500})
    hold = gateway.post("/v2/holds", {**named, "endpoint": "render", "units": 5}).json()
    too_much = gateway.post("/v2/charges", {**named, "endpoint": "render", "units": 5})
    extended = gateway.post(f"/v2/holds/{hold['id']}/extend", {"expires_in": 3_600}).json()
    first = gateway.post(f"/v2/holds/{hold['id']}/capture", {"credits": 12, "final": False}).json()
    last = gateway.post(f"/v2/holds/{hold['id']}/capture", {"credits": 8}).json()
    given_back = gateway.post(
        f"/v2/charges/{charged.json()['id']}/refund", {"reason": "A word was wrong", "credits": 2}
    )
    unused = gateway.post("/v2/holds", {"user_id": ann.pk, "credits": 40}).json()
    released = gateway.post(f"/v2/holds/{unused['id']}/release").json()

    assert (verdict["valid"], verdict["credits_required"], verdict["available"]) == (True, 6, 100)
    assert (charged.json()["credits"], charged.json()["available"]) == (6, 94)
    assert repeated.json() == charged.json()
    assert (failed.json()["credits"], failed.json()["entry_id"]) == (0, None)
    assert (refused(too_much), too_much.json()["reason"]) == ((402, "insufficient_credits"), "held")
    assert extended["expires_at"] > hold["expires_at"]
    assert (first["status"], first["captured"], last["status"], last["captured"]) == ("open", 12, "captured", 20)
    assert (given_back.json()["amount"], given_back.json()["reverses"]) == (2, charged.json()["entry_id"])
    assert released["status"] == "released"

    account = client_of(ann)
    usage = account.get("/auth/account/usage").json()
    ledger = account.get("/auth/account/ledger").json()["results"]
    assert account.get("/auth/account/credits").json()["available"] == 76
    assert [entry["amount"] for entry in ledger] == [2, -8, -12, -6, 100]
    assert usage["requests_by_endpoint"] == {"render": 2, "translate": 2}
    assert (usage["failed_requests"], usage["credits_consumed"]) == (1, 24)
    assert account.get("/auth/account/requests?status=rejected").json()["count"] == 1
    assert sum(Decimal(entry["amount"]) for entry in ledger) == 76
    assert run("reconcile", "--json").json["findings"] == []
