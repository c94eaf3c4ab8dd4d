"""Declared responses equal those of their serializer."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from types import SimpleNamespace

import pytest
from rest_framework import serializers

from config.http.declared import Answer
from config.http.fields import CreditsField, InstantField, PercentageField
from config.values.json import exact_json


class Inner(serializers.Serializer):
    code = serializers.CharField()
    left = CreditsField(allow_null=True)


class Outer(serializers.Serializer):
    id = serializers.IntegerField(source="named.pk")
    credits = CreditsField()
    at = InstantField(allow_null=True)
    inner = Inner(allow_null=True)
    counts = serializers.DictField(child=serializers.IntegerField())
    is_on = serializers.BooleanField()


@pytest.mark.parametrize(
    "inner", [None, SimpleNamespace(code="a", left=None), SimpleNamespace(code="", left=Decimal(3))]
)
def test_a_declared_response_equals_its_serializers(inner):
    shown = SimpleNamespace(
        named=SimpleNamespace(pk=7),
        credits=Decimal("12.500000"),
        at=dt.datetime(2026, 11, 28, tzinfo=dt.UTC),
        inner=inner,
        counts={"x": 1},
        is_on=False,
    )

    assert Answer(Outer).of(shown) == Outer(shown).data
    assert list(Answer(Outer).of(shown)) == list(Outer(shown).data)


class Reported(serializers.Serializer):
    id = serializers.UUIDField()
    share = PercentageField()
    words = serializers.ListField(child=serializers.CharField())
    parts = Inner(many=True)
    note = serializers.CharField(required=False)
    state = serializers.CharField()


@pytest.mark.parametrize("note", [None, "seen"])
def test_lists_are_shown_whole_and_what_is_not_required_is_left_out_where_it_is_none(note):
    facts = {
        "id": uuid.UUID(int=7),
        "share": Decimal("25.0"),
        "words": ["a", "b"],
        "parts": [SimpleNamespace(code="a", left=None), SimpleNamespace(code="b", left=Decimal("1.50"))],
        "state": "open",
    }
    shown = SimpleNamespace(**facts, note=note)
    declared = Reported(shown if note else SimpleNamespace(**facts)).data

    assert exact_json(Answer(Reported).of(shown)) == exact_json(declared)


def test_a_given_value_stands_in_its_place_and_is_shown_as_its_field_shows_it():
    shown = SimpleNamespace(code="a")

    assert list(Answer(Inner, given=["code"]).of(SimpleNamespace(left=None), code="b").items()) == [
        ("code", "b"),
        ("left", None),
    ]
    assert Answer(Inner, given=["left"]).of(shown, left=Decimal("2.500000")) == {"code": "a", "left": Decimal("2.5")}
    with pytest.raises(KeyError, match="left"):
        Answer(Inner, given=["left"]).of(shown)


def test_a_computed_field_is_refused():
    class Computing(serializers.Serializer):
        twice = serializers.SerializerMethodField()

    with pytest.raises(TypeError, match="SerializerMethodField cannot be shown"):
        Answer(Computing).of(SimpleNamespace(twice=1))
