"""Lists of an API printed straight from rows: no model instance and no serializer an entry.

DRF asks every field of every entry in turn, some 50 µs an entry of nine fields; printed column by column it takes two.
What a list looks like is still said once, by its serializer: here its fields tell how each column is printed. So the
API's document and the list cannot differ, and a test prints odd values by both.
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

# jsonb as PostgreSQL writes it, where removing its blanks is all there is to do: no text with a blank, an escape or
# a line separator in it, and no number with a fraction, whose zeros Python would not keep. All of it is possessive:
# a text that does not match must not be tried in every other way, whose number doubles with each letter.
_ONLY_SPACED = re.compile(r'(?:[{}\[\],: truefalsn0-9-]++|"[^"\\ \u2028\u2029]*+")*+').fullmatch


class PrintedRows:
    """How the entries of a list are printed, declared by the list's own serializer.

    Rows come as texts, each column as PostgreSQL writes it, in the order of `columns`. A field whose source is no
    column is `derived`: from the text of which column, and by what function, it gets its own text.
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
        """The columns that the rows are to have, by the sources of the serializer's fields."""
        return tuple(
            self._derived[name][0] if name in self._derived else str(field.source) for name, field in self._fields
        )

    def as_texts(self) -> list[Any]:
        """Give the columns as expressions for `QuerySet.values_list`."""
        return [Cast(F(column), TextField()) for column in self.columns]

    def printed(self, rows: Sequence[Row]) -> str:
        """Print rows as a JSON list; of each row the first values count, as many as there are columns."""
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
    """Tell how a column is printed.

    :raises TypeError: if nobody has said so for this kind of field
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
    """Print `2026-11-21 23:35:00.5+00` as `config.values.timestamps` prints the instant."""
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
