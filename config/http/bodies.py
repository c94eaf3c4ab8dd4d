"""Bodies of busy calls: what is plainly well is taken at once, everything else is judged by a serializer.

DRF copies a serializer's fields for each call and leads every value through a dozen methods: some 300 µs for a body of
ten fields, more than the rest of a charge. Here the fields are asked once for what they would give; at the first doubt
the serializer itself judges the whole body. So the serializer says what is right, in the API's document too, and
refusals are worded as everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.fields import empty

from config.http.fields import NotPlain


def validated(serializer: type[serializers.BaseSerializer[Any]], data: Any) -> dict[str, Any]:
    """Give the values of a body by its serializer alone: for calls that are not frequent.

    :raises ValidationError: naming every field at fault
    """
    judge = serializer(data=data)
    judge.is_valid(raise_exception=True)
    return dict(judge.validated_data)


class Body:
    """One kind of body, declared by a serializer whose fields all know `plainly`, and are required or have a default.

    A field whose default is None takes null for it, and the value of one with a `source` gets that name. The
    serializer's `validate`, if it has one, is asked as well; it may not look at anything but its argument.
    """

    def __init__(self, serializer: type[serializers.Serializer[Any]]) -> None:
        self.serializer = serializer

    def read(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Give every field's value, or its default, from what `config.http.parsers` has read.

        :raises ValidationError: naming every field at fault
        """
        try:
            return self.plainly(data)
        except (ValueError, serializers.ValidationError):
            return validated(self.serializer, data)

    def plainly(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Give the same without asking the serializer.

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
        return [(name, field.source, field.plainly, field.default) for name, field in self._asked.fields.items()]
