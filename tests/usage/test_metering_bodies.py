"""Bodies of metering calls: their parser, their serializers and the OpenAPI document agree."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from accounts import key_format
from config.http.bodies import Body
from tests.journeys.routes import document
from usage.serializers import charges, holds, keys

MODULES = (charges, holds, keys)
BODIES = {name: body for module in MODULES for name, body in vars(module).items() if isinstance(body, Body)}
KEY = key_format.make_key()
NEEDED: dict[str, dict[str, Any]] = {
    "CHARGE": {"user_id": 7, "endpoint": "x"},
    "REFUND": {"reason": "x"},
    "HOLD": {"user_id": 7, "credits": 1},
    "EXTENSION": {"expires_in": 1},
    "VERDICT": {"api_key": KEY},
}
ONE_CUSTOMER = ["CHARGE", "HOLD"]
EITHER = "Name the customer by one of user_id and api_key."
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 99, 100, 599, 600, 86_400, 86_401, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**30,
    Decimal("0.5"), Decimal("1.0"), Decimal("0.0000001"), Decimal("-0.5"), Decimal("1e300"), Decimal(0),
    "", " ", "\n", "x", "GET", "get", "G T", "GET\n", "A" * 10, "A" * 11, "a" * 255, "a" * 256, "a" * 500, "a" * 501,
    "a" * 2_000, "a" * 2_001, "é", "٣", "3", "3.0", "0", "-1", "1e3", "NaN", "true", KEY, [], [1], {}, {"a": [None]},
]  # fmt: skip
# What the document must say of each field: its bounds, and whether null stands for nothing.
AMOUNT = {"within": ["0.000001", Decimal("0.000001"), Decimal("999999999.999999")], "beyond": [0, -1, 10**9]}
TOLD: dict[str, dict[str, Any]] = {
    "user_id": {"minimum": 1, "maximum": 2**63 - 1, "null": True},
    "api_key": {"null": True},
    "endpoint": {"minLength": 1, "maxLength": 2_000},
    "units": {"oneOf": {"within": ["0", 0, *AMOUNT["within"]], "beyond": [-1, "-0.000001", 10**9]}},
    "credits": {"oneOf": AMOUNT, "null": True},
    "method": {"minLength": 1, "maxLength": 10, "pattern": "^[A-Za-z]{1,10}$"},
    "status_code": {"minimum": 100, "maximum": 599},
    "latency_ms": {"null": True},
    "reference": {"minLength": 1, "maxLength": 255, "null": True},
    "metadata": {},
    "reason": {"minLength": 1, "maxLength": 500},
    "expires_in": {"minimum": 1, "maximum": 86_400},
    "final": {},
}
OTHERWISE: dict[str, dict[str, Any]] = {
    "HOLD": {"endpoint": {**TOLD["endpoint"], "null": True}},
    "CAPTURE": {"endpoint": {**TOLD["endpoint"], "null": True}, "units": {**TOLD["units"], "null": True}},
    "VERDICT": {"api_key": {}, "endpoint": {**TOLD["endpoint"], "null": True}},
}


def properties(name: str) -> dict[str, Any]:
    schema = BODIES[name].serializer.__name__.removesuffix("Serializer")
    found: dict[str, Any] = document()["components"]["schemas"][schema]["properties"]
    return found


def documented_bounds(name: str, field: str) -> dict[str, Any]:
    return OTHERWISE.get(name, {}).get(field, TOLD[field])


def within(bounds: dict[str, Any]) -> list[Any]:
    numbers = [bounds[end] for end in ("minimum", "maximum") if end in bounds]
    texts = ["x" * bounds[end] for end in ("minLength", "maxLength") if end in bounds]
    return [*numbers, *texts, *bounds.get("oneOf", {}).get("within", ()), *([None] if "null" in bounds else [])]


def beyond(bounds: dict[str, Any]) -> list[Any]:
    numbers = [bounds["minimum"] - 1, bounds["maximum"] + 1] if "minimum" in bounds else []
    texts = ["", "x" * (bounds["maxLength"] + 1)] if "minLength" in bounds else []
    return [*numbers, *texts, *bounds.get("oneOf", {}).get("beyond", ()), *([] if "null" in bounds else [None])]


def result_of_serializer(name: str, data: dict[str, Any]) -> dict[str, Any] | None:
    judge = BODIES[name].serializer(data=data)
    return dict(judge.validated_data) if judge.is_valid() else None


FIELDS = [(name, field) for name, body in BODIES.items() for field in body.serializer().fields]


def test_the_document_has_a_body_for_each_call_and_its_fields():
    assert set(NEEDED) <= set(BODIES)
    assert sorted((name, field) for name in BODIES for field in properties(name)) == sorted(FIELDS)


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_the_document_says_the_bounds_that_are_kept(name, field):
    schema, bounds = properties(name)[field], documented_bounds(name, field)

    said = {
        word: schema[word] for word in ("minimum", "maximum", "minLength", "maxLength", "pattern") if word in schema
    }
    assert said == {word: bound for word, bound in bounds.items() if word not in ("null", "oneOf")}
    assert ("oneOf" in schema) == ("oneOf" in bounds)
    assert ("null" in schema.get("type", ()) or {"type": "null"} in schema.get("oneOf", ())) == ("null" in bounds)


def body_with(name: str, field: str, value: Any) -> dict[str, Any]:
    """Return a body that is valid except for this field, with at most one name of the customer."""
    needed = dict(NEEDED.get(name, {}))
    if field == "api_key" and value is not None:
        needed.pop("user_id", None)
    if field == "user_id" and value is None and name in ONE_CUSTOMER:
        needed["api_key"] = KEY
    if field == "credits" and value is None:
        needed["endpoint"] = "x"
    return {**needed, field: value}


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_values_within_the_bounds_are_accepted_at_once(name, field):
    for value in within(documented_bounds(name, field)):
        sent = body_with(name, field, value)

        assert BODIES[name].plain_value(sent) == result_of_serializer(name, sent), value


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_values_beyond_the_bounds_are_refused_by_the_name_of_their_field(name, field):
    for value in beyond(documented_bounds(name, field)):
        with pytest.raises(ValidationError) as refused:
            BODIES[name].read({**NEEDED.get(name, {}), field: value})

        assert list(refused.value.detail) == [field], value


@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_is_taken_at_once_is_what_the_serializer_would_have_given(name, data):
    fields = [field for each, field in FIELDS if each == name]
    sent = NEEDED.get(name, {}) | data.draw(st.dictionaries(st.sampled_from(fields), st.sampled_from(VALUES)))

    try:
        taken = BODIES[name].plain_value(sent)
    except (ValueError, ValidationError):
        return

    assert taken == result_of_serializer(name, sent)


@pytest.mark.parametrize("name", ONE_CUSTOMER)
@pytest.mark.parametrize(
    "named",
    [{}, {"user_id": None}, {"api_key": None}, {"user_id": 7, "api_key": KEY}],
    ids=["none", "no id", "no key", "both"],
)
def test_a_customer_has_one_name(name, named):
    with pytest.raises(ValidationError) as refused:
        BODIES[name].read({**NEEDED[name], "user_id": None} | named)

    assert refused.value.detail == {"user_id": [EITHER], "api_key": [EITHER]}


def test_methods_are_read_in_capitals():
    assert charges.CHARGE.read({**NEEDED["CHARGE"], "method": "pAtch"})["method"] == "PATCH"


@pytest.mark.parametrize("name", ["CAPTURE", "EXTENSION", "REFUND", "RELEASE"])
def test_where_the_customer_is_known_they_may_be_named_once_more(name):
    needed = NEEDED.get(name, {})

    assert BODIES[name].read(needed)["user_id"] is None
    assert BODIES[name].read({**needed, "api_key": KEY})["api_key"] == KEY
    with pytest.raises(ValidationError) as refused:
        BODIES[name].read({**needed, "user_id": 7, "api_key": KEY})
    assert refused.value.detail == {"user_id": [EITHER], "api_key": [EITHER]}


def test_a_hold_needs_an_amount_or_an_endpoint():
    with pytest.raises(ValidationError) as refused:
        holds.HOLD.read({"user_id": 7})

    assert sorted(refused.value.detail) == ["credits", "endpoint"]
    assert holds.HOLD.read({"user_id": 7, "endpoint": "x"})["credits"] is None


def test_flags_are_true_or_false_and_nothing_else():
    assert holds.CAPTURE.read({"final": False})["final"] is False
    for value in ("false", 0, "", None):
        with pytest.raises(ValidationError):
            holds.CAPTURE.read({"final": value})
