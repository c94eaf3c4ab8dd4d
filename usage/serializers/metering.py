"""Fields that bodies of metering calls share: the customer, and the outcome of a request."""

from __future__ import annotations

import re
from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

from config.http.fields import (
    CreditsField,
    LatencyField,
    NotPlain,
    ObjectField,
    TextField,
    UnitsField,
    WholeNumberField,
)
from config.values.credits import LARGEST_ID

RESERVED = "tollbook_"
_EITHER = "Name the customer by one of user_id and api_key."
_METHOD_FORM = re.compile(r"\A[A-Za-z]{1,10}\Z")
_METHOD = RegexValidator(_METHOD_FORM, "A method is a word of at most 10 letters, such as GET or POST.")


class KeyField(serializers.CharField):
    """The text of an API key. Every text is accepted: an invalid key is answered like an unknown one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_blank=True, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data

    def plain_value(self, data: Any) -> str:
        if type(data) is not str:
            raise NotPlain
        return data


class MethodField(TextField):
    """An HTTP method, in whatever case."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=10, validators=[_METHOD], **kwargs)

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(data).upper()

    def plain_value(self, data: Any) -> str:
        if type(data) is not str or not _METHOD_FORM.match(data):
            raise NotPlain
        return data.upper()


class MetadataField(ObjectField):
    """The caller's own data, which the entry keeps unchanged.

    Our own names are stored beside it; one that the caller uses too is stored with the prefix `tollbook_`.
    """

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        metadata: dict[str, Any] = super().to_internal_value(data)
        if any(name.startswith(RESERVED) for name in metadata):
            raise serializers.ValidationError(f"Names that begin with {RESERVED} are ours.", code="invalid")
        return metadata

    def plain_value(self, data: Any) -> dict[str, Any]:
        metadata = super().plain_value(data)
        for name in metadata:
            if name.startswith(RESERVED):
                raise NotPlain
        return metadata


def endpoint_field(**kwargs: Any) -> TextField:
    return TextField(
        max_length=2_000, help_text="A code or a path, however it is spelt; a query string does not count.", **kwargs
    )


def units_field(**kwargs: Any) -> UnitsField:
    return UnitsField(
        allow_zero=True, help_text="How much of it, in units of the price; 0 costs the price's minimum.", **kwargs
    )


def method_field() -> MethodField:
    # The default is a function, so that the document does not show one that a client may not send.
    return MethodField(default=str, help_text="HTTP method; some prices are for one method only.")


def credits_field(help_text: str) -> CreditsField:
    return CreditsField(default=None, allow_null=True, help_text=help_text)


def latency_field() -> LatencyField:
    return LatencyField(
        default=None,
        allow_null=True,
        help_text="How long it took; a fraction is rounded, and what says nothing, such as -1, is not kept.",
    )


def reference_field() -> TextField:
    return TextField(max_length=255, default=None, allow_null=True, help_text="Your own name for it.")


def metadata_field() -> MetadataField:
    return MetadataField(
        default=dict, help_text=f"Whatever you want to keep with it; names that begin with {RESERVED} are refused."
    )


class AnyCustomerSerializer(serializers.Serializer[Any]):
    """The customer; another customer's object is not found."""

    user_id = WholeNumberField(
        default=None, allow_null=True, min_value=1, max_value=LARGEST_ID, help_text="The customer's id."
    )
    api_key = KeyField(default=None, allow_null=True, help_text="Instead of `user_id`: any live key of the customer.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["user_id"] is not None and attrs["api_key"] is not None:
            raise serializers.ValidationError({"user_id": [_EITHER], "api_key": [_EITHER]})
        return attrs


class OneCustomerSerializer(AnyCustomerSerializer):
    """The customer: exactly one of `user_id` and `api_key`."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["user_id"] is None) == (attrs["api_key"] is None):
            raise serializers.ValidationError({"user_id": [_EITHER], "api_key": [_EITHER]})
        return attrs


class ReportSerializer(serializers.Serializer[Any]):
    """The outcome of a request, for the log."""

    method = method_field()
    status_code = WholeNumberField(
        source="status",
        default=200,
        min_value=100,
        max_value=599,
        help_text="401, 402 and 429 cost nothing, others ≥ 400 hardly ever.",
    )
    latency_ms = latency_field()
    reference = reference_field()
    metadata = metadata_field()
