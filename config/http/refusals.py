"""What calls refuse, as the API's document shows it: the shape of `config.http.answers`, declared for every app."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ErrorSerializer(serializers.Serializer[Any]):
    """The shape of every refusal."""

    detail = serializers.CharField(help_text="A sentence for people.")
    code = serializers.CharField(help_text="A stable name for programs.")


class FieldErrorsSerializer(ErrorSerializer):
    """A refusal of what was given for some fields."""

    errors = serializers.DictField(  # type: ignore[assignment]  # shadows a property of Serializer, as the contract names it
        child=serializers.ListField(child=serializers.CharField()), required=False
    )


# What any call that asks for credentials may answer besides its own answers.
REFUSALS: dict[Any, Any] = {401: ErrorSerializer, 429: ErrorSerializer}
