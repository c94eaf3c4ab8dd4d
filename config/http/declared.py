"""Answers of busy calls: a serializer declares them, and its fields are asked once, not at each call.

DRF copies a serializer's fields for each call and leads every value through half a dozen methods. Here the fields are
asked once where each value comes from and how it is shown. The mirror of `config.http.bodies`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import Any

from rest_framework import serializers

from config.http.fields import CreditsField, InstantField
from config.values.credits import plain

Show = Callable[[Any], Any]


class Answer:
    """One kind of answer, declared by a serializer; its values are attributes of whatever is shown.

    Nested serializers are shown alike. Fields that compute something, and lists, have no place here.
    """

    def __init__(self, serializer: type[serializers.Serializer[Any]]) -> None:
        self.serializer = serializer

    def of(self, shown: Any) -> dict[str, Any]:
        """Give the answer's data, as the serializer would."""
        fields, values = self._fields, self._values(shown)
        return {
            name: value if show is None else show(value) for (name, show), value in zip(fields, values, strict=True)
        }

    @cached_property
    def _values(self) -> Callable[[Any], tuple[Any, ...]]:
        sources = attrgetter(*(str(field.source) for field in self._declared.values()))
        return sources if len(self._declared) > 1 else lambda shown: (sources(shown),)

    @cached_property
    def _fields(self) -> list[tuple[str, Show | None]]:
        return [(name, _show_of(field)) for name, field in self._declared.items()]

    @cached_property
    def _declared(self) -> dict[str, Any]:
        return dict(self.serializer().fields)


def _show_of(field: Any) -> Show | None:
    """Tell how a field shows a value that is there; None: as it is.

    :raises TypeError: if nobody has said so for this kind of field
    """
    if isinstance(field, CreditsField):
        return _unless_null(plain)
    if isinstance(field, serializers.Serializer):
        return _unless_null(Answer(type(field)).of)
    if isinstance(field, _SHOWN_AS_THEY_ARE):
        return None
    raise TypeError(f"{type(field).__name__} cannot be shown without its serializer.")


def _unless_null(show: Show) -> Show:
    return lambda value: None if value is None else show(value)


_SHOWN_AS_THEY_ARE = (
    InstantField, serializers.IntegerField, serializers.BooleanField, serializers.CharField, serializers.ChoiceField,
    serializers.DictField,
)  # fmt: skip
