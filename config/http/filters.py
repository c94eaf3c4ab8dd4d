"""FilterSets with `from` and `to`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django_filters import Filter, FilterSet
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError as RefusedParameters

from config.http.parameters import strict_filters
from config.values.times import NotAnInstant, NotARange, TimeRange, parse_instant


def filter_values(request: Any, filters: Any) -> Mapping[str, Any]:
    """Return a request's filter values as its FilterSet cleans them; empty values for parameters that were not sent.

    :raises ValidationError: naming each invalid parameter
    """
    if not strict_filters(request, filters):
        return _nothing_asked(filters)
    return _read(filters, request.query_params)


@lru_cache(maxsize=64)
def _nothing_asked(filters: Any) -> Mapping[str, Any]:
    return _read(filters, QueryDict())


def _read(filters: Any, query: QueryDict) -> Mapping[str, Any]:
    form: Any = _form_of(filters)(query)
    if not form.is_valid():
        raise RefusedParameters(form.errors)
    return form.cleaned_data  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _form_of(filters: Any) -> type[forms.Form]:
    """Return a FilterSet's form class, built once: a FilterSet builds a class and copies each filter at every call."""
    form: type[forms.Form] = filters(QueryDict(), queryset=filters.Meta.model.objects.none()).get_form_class()
    return form


class InstantFormField(forms.CharField):
    """Parses a timestamp by `parse_instant`; with `end`, a date includes its whole day."""

    def __init__(self, *, end: bool = False, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)
        self.end = end

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_instant(text, end=self.end)
        except NotAnInstant as error:
            raise ValidationError(str(error), code="invalid") from error


@extend_schema_field(
    {
        "type": "string",
        "description": "YYYY-MM-DD or YYYY-MM-DDTHH:MM[:SS[.ffffff]], in UTC unless it has an offset. The window "
        "includes `from` and ends before `to`; a date as `to` is a whole day.",
        "examples": ["2026-01-31", "2026-01-31T12:00:00Z"],
    }
)
class InstantFilter(Filter):
    """Compares a column with a timestamp."""

    field_class = InstantFormField


class TimeRangeFilterSet(FilterSet):
    """A FilterSet with `from` and `to` over the column named by `time_field`: `[from, to)`."""

    time_field: ClassVar[str] = "created_at"

    @classmethod
    def get_filters(cls) -> dict[str, Filter]:
        """Add `from` and `to`: `from` is a keyword and cannot be a class attribute."""
        return {
            **super().get_filters(),
            "from": InstantFilter(field_name=cls.time_field, lookup_expr="gte"),
            "to": InstantFilter(
                field_name=cls.time_field,
                lookup_expr="lt",
                end=True,
            ),
        }

    def get_form_class(self) -> type[forms.Form]:
        """Add the rule that the window is not empty."""
        plain: type[forms.Form] = super().get_form_class()

        class OrderedForm(plain):  # type: ignore[misc,valid-type]
            def clean(self) -> Any:
                cleaned = super().clean()
                start: dt.datetime | None = self.cleaned_data.get("from")
                end: dt.datetime | None = self.cleaned_data.get("to")
                try:
                    TimeRange(start, end).in_order()
                except NotARange as error:
                    raise ValidationError(error.errors) from error
                return cleaned

        return OrderedForm
