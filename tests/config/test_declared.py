"""Answers declared by a serializer are what the serializer would say."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace

import pytest
from rest_framework import serializers

from config.http.declared import Answer
from config.http.fields import CreditsField, InstantField


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
def test_an_answer_is_what_its_serializer_says(inner):
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


def test_a_field_that_computes_has_no_place_in_it():
    class Computing(serializers.Serializer):
        twice = serializers.SerializerMethodField()

    with pytest.raises(TypeError, match="SerializerMethodField cannot be shown"):
        Answer(Computing).of(SimpleNamespace(twice=1))
