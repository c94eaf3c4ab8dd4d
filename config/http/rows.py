"""API lists printed directly from rows, without a model instance and a serializer per item.

DRF runs every field of every item, some 50 µs for an item of nine fields; printed column by column it takes two. The
serializer still declares the list: its fields decide how each column is printed. So the OpenAPI document and the list
cannot differ, and a test prints unusual values by both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from json.encoder import encode_basestring
from typing import Any

from django.db.models import F, TextField
from django.db.models.functions import Cast
from rest_framework import serializers

from config.http.fields import CreditsField, InstantField
from config.values.json import exact_json
from config.values.timestamps import instant_text

Column = Sequence[str | None]
Row = tuple[Any, ...]

# jsonb as PostgreSQL writes it, where only its blanks have to be removed: no text with a blank, an escape or
# a line separator in it, and no number with a fraction, whose zeros Python would not keep. All quantifiers are
# possessive: backtracking on a text that does not match would double with each letter.
_ONLY_SPACED = re.compile(r'(?:[{}\[\],: truefalsn0-9-]++|"[^"\\ \u2028\u2029]*+")*+').fullmatch


class PrintedRows:
    """How the items of a list are printed, declared by the list's serializer.

    Rows are texts, each column as PostgreSQL writes it, in the order of `columns`. A field whose source is not a column
    is in `derived`: the column and the function that returns its text.
    """

    def __init__(
        self,
        serializer: type[serializers.Serializer[Any]],
        *,
        derived: Mapping[str, tuple[str, Callable[[str], str]]] | None = None,
    ) -> None:
        self.serializer = serializer
        self._derived = derived or {}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of the rows, by the sources of the serializer's fields."""
        return tuple(
            self._derived[name][0] if name in self._derived else str(field.source) for name, field in self._fields
        )

    def as_texts(self) -> list[Any]:
        """Return the columns as expressions for `QuerySet.values_list`."""
        return [Cast(F(column), TextField()) for column in self.columns]

    def printed(self, rows: Sequence[Row]) -> str:
        """Return rows as a JSON list; only the first values of each row are used, one for each column."""
        columns = zip(*rows, strict=True)
        cells = [show(column) for show, column in zip(self._shows, columns, strict=False)]
        return f"[{','.join(map(self._template.__mod__, zip(*cells, strict=True)))}]"

    @cached_property
    def _fields(self) -> list[tuple[str, Any]]:
        return list(self.serializer().fields.items())

    @cached_property
    def _template(self) -> str:
        return "{" + ",".join(f"{encode_basestring(name)}:%s" for name, _ in self._fields) + "}"

    @cached_property
    def _shows(self) -> list[Callable[[Column], Sequence[str]]]:
        return [
            _by_each(_derived_by(self._derived[name][1])) if name in self._derived else _shows_of(field)
            for name, field in self._fields
        ]


def _shows_of(field: serializers.Field[Any, Any, Any, Any]) -> Callable[[Column], Sequence[str]]:
    """Return the function that prints a column.

    :raises TypeError: if this kind of field is not supported
    """
    for kinds, show in _BY_KIND:
        if isinstance(field, kinds):
            return show
    raise TypeError(f"{type(field).__name__} cannot be printed from a row.")


def _by_each(show: Callable[[str], str]) -> Callable[[Column], Sequence[str]]:
    return lambda column: ["null" if text is None else show(text) for text in column]


def _derived_by(derive: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: f'"{derive(text)}"'


def _number(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _instant(text: str) -> str:
    """Return `2026-11-21 23:35:00.5+00` in the format of `config.values.timestamps`."""
    if text.endswith("+00") and (len(text) == 22 or len(text) == 29) and text[10] == " ":
        return f'"{text[:10]}T{text[11:-3]}Z"'
    return f'"{instant_text(datetime.fromisoformat(text))}"'


def _object(text: str) -> str:
    if _ONLY_SPACED(text):
        return text.replace(" ", "")
    return exact_json(json.loads(text))


def _plain(column: Column) -> list[str]:
    return ["null" if text is None else text for text in column]


_BY_KIND: list[tuple[Any, Callable[[Column], Sequence[str]]]] = [
    (CreditsField, _by_each(_number)),
    (InstantField, _by_each(_instant)),
    ((serializers.IntegerField, serializers.BooleanField), _plain),
    (serializers.UUIDField, _by_each('"{}"'.format)),
    ((serializers.CharField, serializers.ChoiceField), _by_each(encode_basestring)),
    (serializers.DictField, _by_each(_object)),
]
