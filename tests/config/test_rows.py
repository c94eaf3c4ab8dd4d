"""Rows are printed exactly as the serializer of their list would print them."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as some
from rest_framework import serializers

from config.http.fields import CreditsField, InstantField
from config.http.rows import PrintedRows
from config.values.json import exact_json

pytestmark = pytest.mark.django_db


class Cargo(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField(source="known_as", allow_null=True)
    kind = serializers.ChoiceField(choices=["crate", "barrel"])
    credits = CreditsField()
    sealed = serializers.BooleanField()
    labels = serializers.DictField()
    batch = serializers.UUIDField(allow_null=True)
    sent_at = InstantField(allow_null=True)


ROWS = PrintedRows(Cargo)
TYPES = {
    "id": "bigint", "known_as": "text", "kind": "text", "credits": "numeric(15, 6)", "sealed": "boolean",
    "labels": "jsonb", "batch": "uuid", "sent_at": "timestamptz",
}  # fmt: skip
PLAIN = {
    "id": 1, "known_as": "Ann", "kind": "crate", "credits": Decimal(1), "sealed": True, "labels": {}, "batch": None,
    "sent_at": None,
}  # fmt: skip

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
texts = some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
json_values = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**70), 2**70)
    | some.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
    | texts,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
cargo = some.fixed_dictionaries(
    {
        "id": some.integers(1, 2**63 - 1),
        "known_as": some.none() | texts,
        "kind": some.sampled_from(["crate", "barrel"]),
        "credits": some.decimals(Decimal("-999999999.999999"), Decimal("999999999.999999"), places=6),
        "sealed": some.booleans(),
        "labels": some.dictionaries(texts, json_values, max_size=4),
        "batch": some.none() | some.uuids(),
        "sent_at": some.none()
        | some.integers(0, 2**52).map(lambda microseconds: EPOCH + dt.timedelta(microseconds=microseconds)),
    }
)


def stored(cargoes: Sequence[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Store values in PostgreSQL and return them as texts, and as Django reads them."""
    places = ", ".join(f"%s::{TYPES[column]} AS {column}" for column in ROWS.columns)
    texts_of, values_of = [], []
    with connection.cursor() as cursor:
        for each in cargoes:
            values = [exact_json(each[name]) if name == "labels" else each[name] for name in ROWS.columns]
            cursor.execute(f"SELECT {places}", values)
            read = dict(zip(ROWS.columns, cursor.fetchone(), strict=True))
            read["labels"] = json.loads(read["labels"])  # as a JSONField of a model does
            values_of.append(read)
            cursor.execute(
                f"SELECT {', '.join(f'{name}::text' for name in ROWS.columns)} FROM (SELECT {places}) c", values
            )
            texts_of.append(cursor.fetchone())
    return texts_of, values_of


def both_ways(cargoes: Sequence[dict[str, Any]]) -> tuple[str, str]:
    rows, values = stored(cargoes)
    return ROWS.printed(rows), exact_json(Cargo(values, many=True).data)


@settings(max_examples=60, deadline=None)
@given(some.lists(cargo, max_size=3))
def test_rows_are_printed_as_by_their_serializer(cargoes):
    printed, serialized = both_ways(cargoes)

    assert printed == serialized


@pytest.mark.parametrize(
    "odd",
    [
        {"credits": Decimal("0")},
        {"credits": Decimal("100")},
        {"credits": Decimal("-0.000001")},
        {"credits": Decimal("999999999.999999")},
        {"known_as": ""},
        {"known_as": 'a "quote", a \\ and\ta tab'},
        {"known_as": "\u2028 \u2029 \x7f é 漢 😀"},
        {"labels": {"a": 1, "b c": "x, y", "d": "e: f"}},
        {"labels": {"a": 1.50, "b": Decimal("1.500"), "c": -0.0, "d": 1e20, "e": 10**40}},
        {"labels": {"a": [], "b": {}, "c": [None, True, False, {"d": []}]}},
        {"labels": {"": "", " ": " ", "\u2028": '\\"'}},
        {"labels": {"request_id": str(uuid.UUID(int=7)), "charge_id": 12}},
        {"sent_at": dt.datetime(2026, 11, 21, 23, 35, tzinfo=dt.UTC)},
        {"sent_at": dt.datetime(2026, 11, 21, 23, 35, 0, 500_000, tzinfo=dt.UTC)},
        {"sent_at": dt.datetime(2026, 11, 21, 23, 35, 59, 999_999, tzinfo=dt.UTC)},
        {"sent_at": dt.datetime(2026, 11, 21, 23, 35, 0, 1, tzinfo=dt.UTC)},
    ],
    ids=str,
)
def test_an_odd_value_is_printed_as_by_its_serializer(odd):
    printed, serialized = both_ways([PLAIN | odd])

    assert printed == serialized


def test_instants_are_printed_in_utc_whatever_zone_the_session_has():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'Asia/Kolkata'")
        rows, _ = stored([PLAIN | {"sent_at": dt.datetime(2026, 11, 21, 23, 35, 0, 500_000, tzinfo=dt.UTC)}])
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")

    assert '"sent_at":"2026-11-21T23:35:00.500000Z"' in ROWS.printed(rows)


def test_a_long_object_that_is_not_plain_takes_no_longer_to_look_at_than_a_plain_one():
    words = {f"true{n}": "false" for n in range(2_000)}
    printed, serialized = both_ways([PLAIN | {"labels": {**words, "zzz": 1.5, "~": "a b"}}])  # exponential time

    assert printed == serialized


def test_no_rows_are_an_empty_list():
    assert ROWS.printed([]) == "[]"


def test_rows_print_their_columns_and_nothing_behind_them():
    rows, _ = stored([PLAIN])

    assert ROWS.printed([(*rows[0], 7, "its place")]) == ROWS.printed(rows)


def test_a_derived_field_gets_its_text_from_another_column():
    class Doubled(serializers.Serializer):
        id = serializers.IntegerField()
        size = serializers.ChoiceField(choices=["one", "many"])

    rows = PrintedRows(Doubled, derived={"size": ("id", lambda text: "one" if text == "1" else "many")})

    assert rows.columns == ("id", "id")
    assert rows.printed([("1", "1"), ("2", "2")]) == '[{"id":1,"size":"one"},{"id":2,"size":"many"}]'


def test_an_unsupported_kind_of_field_is_refused():
    class Unknown(serializers.Serializer):
        tags = serializers.ListField()

    with pytest.raises(TypeError, match="ListField cannot be printed from a row"):
        PrintedRows(Unknown).printed([("x",)])
