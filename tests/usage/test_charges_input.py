"""The input of a charge: keys, amounts, texts and their bounds."""

import json

import pytest

from tests.usage.gateway import refused
from tests.usage.metering import price
from usage.models import RequestLog

pytestmark = pytest.mark.django_db
PATH = "/v2/charges"


@pytest.fixture
def body(alice):
    price("search", "2.5")
    return {"user_id": alice.pk, "endpoint": "search"}


@pytest.mark.parametrize("key", [None, ""])
def test_a_charge_without_an_idempotency_key_is_refused(gateway, alice, body, key):
    answer = gateway.client.post(PATH, body, headers={} if key is None else {"Idempotency-Key": key})

    assert refused(answer) == (400, "idempotency_key_required")
    assert not RequestLog.objects.exists()


@pytest.mark.parametrize("key", ["k" * 256, "ü", " ", "a\tb", "a\x7f"])
def test_an_odd_idempotency_key_is_refused_by_its_name(gateway, body, key):
    answer = gateway.post(PATH, body, key=key)

    assert refused(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["Idempotency-Key"]


@pytest.mark.parametrize("key", ["k" * 255, "two words", "~!@#$%^&*()", '"quoted"'])
def test_any_printable_idempotency_key_is_taken(gateway, body, key):
    assert gateway.post(PATH, body, key=key).status_code == 201


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({}, ["api_key", "user_id"]),
        ({"user_id": 1, "api_key": "x"}, ["api_key", "user_id"]),
        ({"user_id": 0}, ["user_id"]),
        ({"user_id": "1"}, ["user_id"]),
        ({"user_id": 2**63}, ["user_id"]),
        ({"user_id": True}, ["user_id"]),
        ({"api_key": 7}, ["api_key"]),
        ({"user_id": 1, "endpoint": None}, ["endpoint"]),
        ({"user_id": 1, "endpoint": ""}, ["endpoint"]),
        ({"user_id": 1, "endpoint": "x" * 2_001}, ["endpoint"]),
        ({"user_id": 1, "endpoint": 7}, ["endpoint"]),
        ({"user_id": 1, "endpoint": "\u0000"}, ["endpoint"]),
        ({"user_id": 1, "metadata": {"tollbook_charge_id": 1}}, ["metadata"]),
        ({"user_id": 1, "units": -1}, ["units"]),
        ({"user_id": 1, "units": "1e3"}, ["units"]),
        ({"user_id": 1, "units": 0.0000001}, ["units"]),
        ({"user_id": 1, "credits": 0}, ["credits"]),
        ({"user_id": 1, "credits": "٣"}, ["credits"]),
        ({"user_id": 1, "credits": 10**9}, ["credits"]),
        ({"user_id": 1, "status_code": 99}, ["status_code"]),
        ({"user_id": 1, "status_code": 600}, ["status_code"]),
        ({"user_id": 1, "status_code": "200"}, ["status_code"]),
        ({"user_id": 1, "method": "GET "}, ["method"]),
        ({"user_id": 1, "method": "GETTINGALOT"}, ["method"]),
        ({"user_id": 1, "reference": ""}, ["reference"]),
        ({"user_id": 1, "reference": "x" * 256}, ["reference"]),
        ({"user_id": 1, "metadata": []}, ["metadata"]),
        ({"user_id": 1, "metadata": {"a": "\u0000"}}, ["metadata.a"]),
        ({"user_id": 1, "metadata": {"\u0000": 1}}, ["metadata"]),
        ({"user_id": 1, "units": -1, "credits": 0, "status_code": 1}, ["credits", "status_code", "units"]),
    ],
    ids=str,
)
def test_an_invalid_field_is_named(gateway, db, sent, fields):
    answer = gateway.post(PATH, {"endpoint": "search"} | sent)

    assert refused(answer) == (400, "invalid")
    assert sorted(answer.json()["errors"]) == fields


@pytest.mark.parametrize(
    "sent",
    [
        {"endpoint": "😀" * 2_000},
        {"endpoint": "\\%_'\"\n{}"},
        {"endpoint": "?"},
        {"reference": "😀" * 255},
        {"method": "A" * 10},
        {"latency_ms": 2**31 - 1},
        {"units": "999999999.999999", "credits": 1},
        {"units": "0.000001"},
        {"status_code": 100},
        {"status_code": 599},
        {"metadata": {"": None, "charge_id": "mine", "a" * 10_000: ["b" * 100_000, 10**99]}},
    ],
    ids=lambda sent: f"{sent}"[:40],
)
def test_whatever_is_within_its_bounds_is_charged_and_logged(gateway, alice, sent):
    price("*", 1)

    answer = gateway.post(PATH, {"user_id": alice.pk, "endpoint": "search"} | sent)

    assert answer.status_code == 201, answer.content
    assert RequestLog.objects.get().pk == answer.json()["id"]


def test_numbers_of_any_size_are_kept_in_metadata(gateway, body):
    sent = json.dumps(body)[:-1] + ', "metadata": {"large": 1e308, "small": -1e-308, "long": ' + "9" * 100 + "}}"

    assert gateway.post(PATH, sent).status_code == 201
    assert RequestLog.objects.get().metadata == {"large": 10**308, "small": -1e-308, "long": 10**100 - 1}


def test_an_endpoint_is_needed_even_when_the_amount_is_given(gateway, alice):
    answer = gateway.post(PATH, {"user_id": alice.pk, "credits": 1})

    assert answer.json()["errors"] == {"endpoint": ["This field is required."]}
