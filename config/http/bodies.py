"""Bodies of hot calls: clearly valid ones take a fast path, all others are validated by a serializer.

DRF copies a serializer's fields for each call and passes every value through a dozen methods: some 300 µs for a body of
ten fields, more than the rest of a charge. Here each field converts its value once; if one cannot, the serializer
validates the whole body. So the serializer defines what is valid, in the OpenAPI document too, and errors have the same
sentences as everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.fields import empty

from config.http.fields import NotPlain


def validated(serializer: type[serializers.BaseSerializer[Any]], data: Any) -> dict[str, Any]:
    """Return the values of a body, validated by its serializer only: for calls that are not hot.

    :raises ValidationError: naming every invalid field
    """
    judge = serializer(data=data)
    judge.is_valid(raise_exception=True)
    return dict(judge.validated_data)


class Body:
    """One kind of body, declared by a serializer whose fields have `plain_value` and are required or have a default.

    A field whose default is None accepts null, and a field with a `source` is returned under that name. The
    serializer's `validate`, if it has one, is called as well; it may use nothing but its argument.
    """

    def __init__(self, serializer: type[serializers.Serializer[Any]]) -> None:
        self.serializer = serializer

    def read(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return every field's value, or its default, from a body that `config.http.parsers` has read.

        :raises ValidationError: naming every invalid field
        """
        try:
            return self.plain_value(data)
        except (ValueError, serializers.ValidationError):
            return validated(self.serializer, data)

    def plain_value(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same without the serializer.

        :raises ValueError, ValidationError: if only the serializer can tell
        """
        values: dict[str, Any] = {}
        for name, source, take, default in self._fields:
            if name in data:
                sent = data[name]
                values[source] = None if sent is None and default is None else take(sent)
            elif default is empty:
                raise NotPlain
            else:
                values[source] = default() if callable(default) else default
        return self._asked.validate(values)  # type: ignore[no-any-return]

    @cached_property
    def _asked(self) -> Any:
        return self.serializer()

    @cached_property
    def _fields(self) -> list[tuple[str, str, Any, Any]]:
        return [(name, field.source, field.plain_value, field.default) for name, field in self._asked.fields.items()]
