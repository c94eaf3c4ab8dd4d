"""Query parameters, read strictly: known ones at most once, not empty, and within their bounds."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Protocol

from django_filters import FilterSet
from rest_framework.exceptions import NotFound, ValidationError

from config.values.credits import LARGEST_ID
from config.values.text import INVALID_TEXT, is_invalid_text
from config.values.times import NotARange, TimeRange

LARGEST_NUMBER = 2_147_483_647


class HasQuery(Protocol):
    """Any request with query parameters."""

    @property
    def GET(self) -> Any: ...  # noqa: N802  as Django names it


_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)


def strict_parameters(request: HasQuery, known: Collection[str]) -> dict[str, str]:
    """Return the known parameters that were sent; unknown ones are ignored.

    :raises ValidationError: naming each known one that is repeated, empty, or contains NUL
    """
    query = request.GET
    given: dict[str, str] = {}
    errors: dict[str, list[str]] = {}
    for name in known:
        values = query.getlist(name)
        if len(values) > 1:
            errors[name] = ["Give this parameter once."]
        elif values and not values[0].strip():
            errors[name] = ["This parameter must not be empty."]
        elif values and is_invalid_text(values[0]):
            errors[name] = [INVALID_TEXT]
        elif values:
            given[name] = values[0]
    if errors:
        raise ValidationError(dict(sorted(errors.items())))
    return given


def strict_filters(request: HasQuery, filters: type[FilterSet], *more: str) -> dict[str, str]:
    """Return every parameter that a FilterSet knows, and `more`, as `strict_parameters` does."""
    return strict_parameters(request, {*filters.base_filters, *more})


def whole_number(given: dict[str, str], name: str, *, default: int, least: int, most: int = LARGEST_NUMBER) -> int:
    """Return a parameter as a whole number between two bounds, both included.

    :raises ValidationError: naming the parameter
    """
    if name not in given:
        return default
    value = int(given[name]) if _DIGITS.fullmatch(given[name]) else -1
    if not least <= value <= most:
        raise ValidationError({name: [f"Give a whole number from {least} to {most}."]})
    return value


def choice(given: dict[str, str], name: str, allowed: Collection[str], *, default: str) -> str:
    """Return a parameter that must be one of a few words.

    :raises ValidationError: naming the parameter and the words
    """
    value = given.get(name, default)
    if name in given and value not in allowed:
        raise ValidationError({name: [f"Choose one of: {', '.join(allowed)}."]})
    return value


def time_range(given: dict[str, str]) -> TimeRange:
    """Return the range of `from` and `to`; a missing side is open.

    :raises ValidationError: naming the invalid parameter
    """
    try:
        return TimeRange.parse(given.get("from"), given.get("to"))
    except NotARange as error:
        raise ValidationError({name: [message] for name, message in error.errors.items()}) from error


def wants_csv(request: HasQuery) -> bool:
    """Return whether `format=csv` was requested.

    :raises ValidationError: on any other format than csv and json
    """
    return choice(strict_parameters(request, {"format"}), "format", ("json", "csv"), default="json") == "csv"


def path_number(text: str) -> int:
    """Return an id from the path, at most a PostgreSQL bigint.

    :raises NotFound: if it cannot be an id
    """
    if not _DIGITS.fullmatch(text) or int(text) > LARGEST_ID:
        raise NotFound
    return int(text)
