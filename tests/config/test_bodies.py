"""Bodies that take the fast path are read as their serializer would read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from rest_framework import serializers
from rest_framework.fields import empty

from config.http.bodies import Body
from config.http.fields import CreditsField, FlagField, ObjectField, TextField, UnitsField, WholeNumberField


class Order(serializers.Serializer):
    to = TextField(max_length=10)
    weight = UnitsField(default=Decimal(1))
    price = CreditsField(default=None, allow_null=True)
    pieces = WholeNumberField(default=3, min_value=1, max_value=9)
    fragile = FlagField(default=True)
    labels = ObjectField(default=dict)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["pieces"] == 9 and attrs["fragile"]:
            raise serializers.ValidationError({"pieces": ["Nine pieces cannot be fragile."]})
        return attrs


class OrderWithoutValidation(Order):
    def __init__(self, instance: Any = None, data: Any = empty, **kwargs: Any) -> None:
        assert data is empty, "the serializer was asked"
        super().__init__(instance, data, **kwargs)


PLAIN = {"to": "Ann", "weight": Decimal(1), "price": None, "pieces": 3, "fragile": True, "labels": {}}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({}, {}),
        ({"unknown": [1], "": None}, {}),
        ({"to": " A nn "}, {"to": " A nn "}),
        ({"to": "é" * 10}, {"to": "é" * 10}),
        ({"weight": "2.50"}, {"weight": Decimal("2.5")}),
        ({"weight": Decimal("1E+1")}, {"weight": Decimal(10)}),
        ({"price": None}, {}),
        ({"price": 7}, {"price": Decimal(7)}),
        ({"pieces": 9, "fragile": False}, {"pieces": 9, "fragile": False}),
        ({"labels": {"a": [None, Decimal("0.1")]}}, {"labels": {"a": [None, Decimal("0.1")]}}),
    ],
    ids=str,
)
def test_a_clearly_valid_body_is_read_without_the_serializer(sent, read):
    assert Body(OrderWithoutValidation).read({"to": "Ann"} | sent) == PLAIN | read
    assert Body(Order).read({"to": "Ann"} | sent) == PLAIN | read


@pytest.mark.parametrize(
    ("sent", "field", "sentence"),
    [
        ({"to": ""}, "to", "This field may not be blank."),
        ({"to": "\t "}, "to", "This field may not be blank."),
        ({"to": None}, "to", "This field may not be null."),
        ({"to": 7}, "to", "Not a valid string."),
        ({"to": True}, "to", "Not a valid string."),
        ({"to": "x" * 11}, "to", "Ensure this field has no more than 10 characters."),
        ({"weight": None}, "weight", "This field may not be null."),
        ({"weight": 0}, "weight", "Units must not be 0."),
        ({"weight": "-1"}, "weight", "Units must be positive."),
        ({"weight": "1e3"}, "weight", "Write units as a JSON number or a decimal string such as 12.5."),
        ({"weight": Decimal("0.0000001")}, "weight", "Units have at most 6 decimal places."),
        ({"price": 10**9}, "price", "Credits lie between -999999999.999999 and 999999999.999999."),
        ({"price": True}, "price", "Write credits as a JSON number or a decimal string such as 12.5."),
        ({"pieces": 0}, "pieces", "Ensure this value is greater than or equal to 1."),
        ({"pieces": 10}, "pieces", "Ensure this value is less than or equal to 9."),
        ({"pieces": "3"}, "pieces", "A valid integer is required."),
        ({"pieces": Decimal("3.0")}, "pieces", "A valid integer is required."),
        ({"pieces": True}, "pieces", "A valid integer is required."),
        ({"pieces": 9}, "pieces", "Nine pieces cannot be fragile."),
        ({"fragile": "true"}, "fragile", "Must be a valid boolean."),
        ({"fragile": 1}, "fragile", "Must be a valid boolean."),
        ({"fragile": None}, "fragile", "This field may not be null."),
        ({"labels": []}, "labels", 'Expected a dictionary of items but got type "list".'),
        ({"labels": None}, "labels", "This field may not be null."),
    ],
    ids=str,
)
def test_everything_else_is_refused_by_the_serializer_in_its_words(sent, field, sentence):
    with pytest.raises(serializers.ValidationError) as refused:
        Body(Order).read({"to": "Ann"} | sent)

    assert refused.value.detail == {field: [sentence]}


def test_all_fields_at_fault_are_named_at_once():
    with pytest.raises(serializers.ValidationError) as refused:
        Body(Order).read({"weight": 0, "pieces": 0})

    assert sorted(refused.value.detail) == ["pieces", "to", "weight"]


def test_defaults_that_are_made_are_made_for_each_body():
    body = Body(Order)

    assert body.read({"to": "Ann"})["labels"] is not body.read({"to": "Ann"})["labels"]
