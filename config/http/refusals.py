"""Errors in the OpenAPI document: the format of `config.http.answers`, declared for every app."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ErrorSerializer(serializers.Serializer[Any]):
    """The format of every error."""

    detail = serializers.CharField(help_text="A sentence for people.")
    code = serializers.CharField(help_text="A stable name for programs.")


class FieldErrorsSerializer(ErrorSerializer):
    """An error about the values of some fields."""

    errors = serializers.DictField(  # type: ignore[assignment]  # shadows a property of Serializer, as the contract names it
        child=serializers.ListField(child=serializers.CharField()), required=False
    )


# What any call with authentication may return besides its own responses.
REFUSALS: dict[Any, Any] = {401: ErrorSerializer, 429: ErrorSerializer}
