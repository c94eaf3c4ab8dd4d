"""Fingerprints of requests: they are stored for ever, so their input may not change."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest

from ledger.services.idempotency import fingerprint
from usage.services.charges.calls import AskedCharge
from usage.services.holding import AskedCapture, AskedHold

REPORT: dict[str, Any] = {
    "endpoint": "/v1/Search/?q=1",
    "method": "POST",
    "credits": Decimal("1.5"),
    "reference": "job 7",
    "metadata": {"a": [1, None]},
}
OUTCOME = {"status": 500, "units": Decimal(3), "latency_ms": 12}


def test_a_charge_is_compared_by_the_request_and_by_no_name_of_customer_or_key():
    asked = AskedCharge(idempotency_key="k", user_id=7, key_hash=b"x", is_admitted=True, **REPORT, **OUTCOME)

    sent = asked.with_fingerprint()

    assert sent.fingerprint == fingerprint(REPORT | OUTCOME)
    assert (
        sent.fingerprint
        == asked._replace(idempotency_key="l", user_id=8, request_id=uuid.uuid4()).with_fingerprint().fingerprint
    )


def test_a_hold_is_compared_by_what_it_holds_and_how_long():
    asked = AskedHold(idempotency_key="k", user_id=7, units=Decimal(3), expires_in_seconds=60, **REPORT)

    assert asked.arguments()["p_fingerprint"] == fingerprint(REPORT | {"units": Decimal(3), "seconds": 60})


def test_a_capture_is_compared_by_its_hold_and_by_the_request():
    asked = AskedCapture(hold_id=5, idempotency_key="k", user_id=7, final=False, **REPORT, **OUTCOME)

    assert asked.arguments()["p_fingerprint"] == fingerprint(REPORT | OUTCOME | {"hold": 5, "final": False})


@pytest.mark.parametrize("name", sorted(set(AskedCharge._fields) - {"fingerprint"}))
def test_each_field_of_a_charge_reaches_the_database_under_its_own_name(name, monkeypatch):
    sent: dict[str, Any] = {}
    monkeypatch.setattr("usage.services.charges.calls.call", lambda function, **arguments: sent.update(arguments))
    monkeypatch.setattr("usage.services.charges.calls._written", lambda key_hash, write: write())
    from usage.services.charges.calls import charge_one

    named = {"idempotency_key": "k", "user_id": 7, "key_hash": b"x", "is_admitted": True}  # false is the default
    asked = AskedCharge(**named, **REPORT, **OUTCOME).with_fingerprint()
    charge_one(asked)

    value = sent[f"p_{name}"]
    assert (value.obj if name == "metadata" else value) == getattr(asked, name)
