"""Querysets as prepared statements: built once per process, filled with values at each call.

Building a small queryset and compiling it to SQL takes longer than the server needs to run it. A statement here is
built from the same querysets, with places for the values of each call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Expression, Field, QuerySet
from psycopg.sql import Literal
from psycopg.types.numeric import Int8

from config.db.prepared import read_prepared

_PLACE = re.compile(r"%(?:\((\w+)\)s|s|%)")


class Place(Expression):
    """A placeholder in a queryset for a named value of each call."""

    def __init__(self, name: str, output_field: Field[Any, Any] | None = None) -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:  # noqa: ARG002
        return "%s", [self]


@dataclass(frozen=True)
class Statement:
    """The text of a statement whose places are `%s`, and the names of the values that go there."""

    text: str
    places: tuple[str, ...]

    @classmethod
    def of(cls, queryset: QuerySet[Any, Any]) -> Statement:
        """Build the statement of a queryset with Places for each call's values.

        All other values are literals of the statement, so that the planner knows them: a partial index of open holds
        can only be used by a statement that contains `open`.

        :raises TypeError: if one of them is neither text nor a number
        """
        text, values = queryset.query.sql_with_params()
        places = [value.name for value in values if isinstance(value, Place)]
        written = ("%s" if isinstance(value, Place) else _literal(value) for value in values)
        return cls(_PLACE.sub(lambda found: next(written) if found[0] == "%s" else found[0], text), tuple(places))

    @classmethod
    def named(cls, text: str) -> Statement:
        """Build the statement of an SQL text whose places are named, as `%(name)s`."""
        places = tuple(found[1] for found in _PLACE.finditer(text) if found[1])
        return cls(_PLACE.sub(lambda found: "%s" if found[1] else found[0], text), places)

    def counted(self, *, most: int) -> Statement:
        """Return the statement that counts its rows and stops above `most`."""
        return Statement(f"SELECT count(*) FROM ({self.text} LIMIT {most + 1}) AS counted", self.places)

    def cut(self) -> Statement:
        """Return the statement of `limit` rows after the first `offset`."""
        return Statement(f"{self.text} LIMIT %s OFFSET %s", (*self.places, "limit", "offset"))

    def read(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it with these values, as `read_prepared` does."""
        return read_prepared(self.text, self.filled(values))

    def read_planned(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it with a new plan for these values, where one plan does not suit all of them."""
        with connection.cursor() as cursor:
            cursor.execute(self.text, self.filled(values))
            return cursor.fetchall()  # type: ignore[no-any-return]

    def filled(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of their places.

        Whole numbers are always sent as bigint: another type would be another prepared statement.
        """
        found = [values[place] for place in self.places]
        return [Int8(value) if type(value) is int else value for value in found]


def _literal(value: Any) -> str:
    if not isinstance(value, str | int | Decimal):
        raise TypeError(f"{value!r} cannot be written into a statement.")
    plain = str(value) if isinstance(value, str) else value  # a member of an enumeration is its value
    return Literal(plain).as_string().replace("%", "%%")
