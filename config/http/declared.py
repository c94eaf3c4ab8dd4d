"""Responses of hot calls: declared by a serializer, whose fields are inspected once and not at each call.

DRF copies a serializer's fields for each call and passes every value through half a dozen methods. Here the source and
the format of each value are determined once. The mirror of `config.http.bodies`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from operator import attrgetter
from typing import Any, cast

from rest_framework import serializers

from config.http.fields import CreditsField, InstantField, PercentageField
from config.values.credits import plain

Show = Callable[[Any], Any]


class Answer:
    """One kind of response, declared by a serializer; its values are attributes of the object that is shown.

    Values of the fields in `given` are not attributes but keyword arguments. A field that is not required is left out
    if its value is None. Nested serializers work too. Computed fields are not supported.
    """

    def __init__(self, serializer: type[serializers.Serializer[Any]], *, given: Collection[str] = ()) -> None:
        self.serializer = serializer
        self._given = frozenset(given)

    def of(self, shown: Any, /, **given: Any) -> dict[str, Any]:
        """Return the response's data, as the serializer would."""
        data = {
            name: value if show is None else show(value)
            for (name, show), value in zip(self._fields, self._values(shown), strict=True)
        }
        if self._given:
            data = self._in_order | data | {name: _shown(self._shows_given[name], given[name]) for name in self._given}
        for name in self._optional:
            if data[name] is None:
                del data[name]
        return data

    @cached_property
    def _values(self) -> Callable[[Any], tuple[Any, ...]]:
        sources = [str(field.source) for name, field in self._declared.items() if name not in self._given]
        read = attrgetter(*sources)
        return read if len(sources) > 1 else lambda shown: (read(shown),)

    @cached_property
    def _fields(self) -> list[tuple[str, Show | None]]:
        return [(name, _show_of(field)) for name, field in self._declared.items() if name not in self._given]

    @cached_property
    def _shows_given(self) -> dict[str, Show | None]:
        return {name: _show_of(self._declared[name]) for name in self._given}

    @cached_property
    def _in_order(self) -> dict[str, Any]:
        return dict.fromkeys(self._declared)

    @cached_property
    def _optional(self) -> tuple[str, ...]:
        return tuple(name for name, field in self._declared.items() if not field.required and not field.read_only)

    @cached_property
    def _declared(self) -> dict[str, Any]:
        return dict(self.serializer().fields)


def _shown(show: Show | None, value: Any) -> Any:
    return value if show is None else show(value)


def _show_of(field: Any) -> Show | None:
    """Return the function that formats a field's value; None if the value is used as it is.

    :raises TypeError: if this kind of field is not supported
    """
    if isinstance(field, CreditsField):
        return _unless_null(plain)
    if isinstance(field, serializers.ListSerializer):
        one = Answer(cast(Any, type(field.child))).of
        return lambda items: [one(item) for item in items]
    if isinstance(field, serializers.Serializer):
        return _unless_null(Answer(type(field)).of)
    if isinstance(field, serializers.ListField):
        _show_of(field.child)  # a list of what is shown as it is
        return None
    if isinstance(field, _SHOWN_AS_THEY_ARE):
        return None
    raise TypeError(f"{type(field).__name__} cannot be shown without its serializer.")


def _unless_null(show: Show) -> Show:
    return lambda value: None if value is None else show(value)


_SHOWN_AS_THEY_ARE = (
    InstantField, PercentageField, serializers.IntegerField, serializers.BooleanField, serializers.CharField,
    serializers.ChoiceField, serializers.DictField, serializers.UUIDField,
)  # fmt: skip
