"""Serializer fields for credits, timestamps and strictly typed JSON values.

Those with a method `plain_value` can be used in `config.http.bodies`: it returns the value that the field would,
or raises NotPlain if the field itself has to validate it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.values.credits import LARGEST, PLACES, NotACreditAmount, parse_credits, plain, whole_milliseconds
from config.values.times import NotAnInstant
from config.values.timestamps import parse_timestamp


class NotPlain(ValueError):
    """The fast path cannot decide whether this value is valid."""


_CREDITS_SCHEMA = {"type": "number", "format": "double", "examples": [12.5]}


class CreditsField(serializers.Field[Decimal, Any, Decimal, Any]):
    """Accepts a JSON number or a decimal string; written as a JSON number without exponent or trailing zeros."""

    noun = "credits"

    def __init__(self, *, allow_negative: bool = False, allow_zero: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.allow_negative = allow_negative
        self.allow_zero = allow_zero

    def to_internal_value(self, data: Any) -> Decimal:
        try:
            return self.plain_value(data)
        except NotACreditAmount as error:
            raise serializers.ValidationError(str(error), code="invalid") from error

    def plain_value(self, data: Any) -> Decimal:
        return parse_credits(data, allow_negative=self.allow_negative, allow_zero=self.allow_zero, noun=self.noun)

    def to_representation(self, value: Decimal) -> Decimal:
        return plain(value)


class UnitsField(CreditsField):
    """A number of units, as exact as credits."""

    noun = "units"


@extend_schema_field({"type": "number", "minimum": 0, "maximum": 100, "examples": [25.0]})
class PercentageField(serializers.Field[Any, Any, Any, Any]):
    """A percentage as `config.values.credits.percentage` gives it, printed as it is: `25.0` keeps its zero."""

    def to_representation(self, value: Any) -> Any:
        return value


class InstantField(serializers.DateTimeField):
    """A timestamp in a response: RFC 3339, UTC, `Z`, a fraction only if it is not 0."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"read_only": True, "default_timezone": None, **kwargs})

    def to_representation(self, value: Any) -> Any:
        return value  # formatted by the renderer (config.values.timestamps), like every datetime


class TimestampField(serializers.CharField):
    """A timestamp in a body, in any form of RFC 3339; a date alone is ambiguous and refused."""

    def to_internal_value(self, data: Any) -> Any:  # a str to DRF's annotations, a datetime here
        text = super().to_internal_value(data)
        try:
            moment = parse_timestamp(text)
        except NotAnInstant as error:
            raise serializers.ValidationError(str(error), code="invalid") from error
        if _is_date(text):
            raise serializers.ValidationError("Give the time of the day as well.", code="invalid")
        return moment

    def plain_value(self, data: Any) -> Any:
        if type(data) is not str or _is_date(data):
            raise NotPlain
        return parse_timestamp(data)


def _is_date(text: str) -> bool:
    return len(text) == len("2026-11-28")


class WholeNumberField(serializers.IntegerField):
    """A JSON integer; a numeric string or a fraction of 0 is refused."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data

    def plain_value(self, data: Any) -> int:
        if type(data) is not int or (self.min_value or 0) > data or data > (self.max_value or 0):
            raise NotPlain  # without a bound, the field has to decide
        return data


class LatencyField(serializers.Field[Any, Any, Any, Any]):
    """The latency of a request, for the log only: whole milliseconds, or None if the value is invalid."""

    def to_internal_value(self, data: Any) -> int | None:
        return whole_milliseconds(data)

    plain_value = to_internal_value


class TextField(serializers.CharField):
    """Text as it was sent, including blanks at its ends; numbers and blank text are refused."""

    def __init__(self, *, max_length: int, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, min_length=1, trim_whitespace=False, **kwargs)
        self.longest = max_length

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if data.isspace():
            self.fail("blank")
        return data

    def plain_value(self, data: Any) -> str:
        if type(data) is not str or not 0 < len(data) <= self.longest or data.isspace():
            raise NotPlain
        return data


class FlagField(serializers.BooleanField):
    """`true` or `false`; strings and numbers are refused."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data

    def plain_value(self, data: Any) -> bool:
        if type(data) is not bool:
            raise NotPlain
        return data


class ObjectField(serializers.DictField):
    """A JSON object with any content."""

    def plain_value(self, data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            raise NotPlain
        return data


class TimestampFieldSchema(OpenApiSerializerFieldExtension):
    """Describe a timestamp in the OpenAPI document."""

    target_class = "config.http.fields.TimestampField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:  # noqa: ARG002
        return {"type": "string", "format": "date-time"}


class LatencyFieldSchema(OpenApiSerializerFieldExtension):
    """Describe a number in the OpenAPI document; other values are accepted and ignored."""

    target_class = "config.http.fields.LatencyField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:  # noqa: ARG002
        return {"type": "number", "format": "double", "examples": [12]}


class CreditsFieldSchema(OpenApiSerializerFieldExtension):
    """Describe both forms that a request may send."""

    target_class = "config.http.fields.CreditsField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:  # noqa: ARG002
        if direction == "response":
            return dict(_CREDITS_SCHEMA)
        number: dict[str, Any] = {"type": "number", "maximum": float(LARGEST)}
        if self.target.allow_negative:
            number["minimum"] = -float(LARGEST)
        else:
            number["minimum" if self.target.allow_zero else "exclusiveMinimum"] = 0
        sign = "-?" if self.target.allow_negative else ""
        text = {"type": "string", "pattern": rf"^{sign}[0-9]{{1,9}}(\.[0-9]{{1,{PLACES}}})?$"}
        return {"oneOf": [number, text], "examples": [12.5, "12.5"]}
