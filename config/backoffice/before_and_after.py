"""The values that a change replaced, and those that it set, as texts for the staff log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms
from django.db import models
from django.utils.html import strip_tags

from config.values.credits import plain
from config.values.timestamps import instant_text

Detail = dict[str, str | None]  # name, before, after
HIDDEN = "(not recorded)"
_LONGEST_VALUE = 2_000


class Changes(list[Any]):
    """Django's list of the changed fields, with their values before and after."""

    details: list[Detail]

    def __init__(self, message: Iterable[Any], details: list[Detail]) -> None:
        super().__init__(message)
        self.details = details


def details_of(message: Any) -> list[Detail]:
    """Return the values of a message that `construct_change_message` made; none of any other."""
    return message.details if isinstance(message, Changes) else []


def facts(figures: Iterable[tuple[str, Any]]) -> list[Detail]:
    """Return figures of an action, as they were shown; some have only a value."""
    return [{"name": str(name), "before": None, "after": _text(value)} for name, value in figures]


def replaced(changes: Iterable[tuple[str, Any, Any]]) -> list[Detail]:
    """Return values that an action replaced: name, before, after."""
    return [{"name": str(name), "before": _text(before), "after": _text(after)} for name, before, after in changes]


def changes_of(form: Any) -> list[Detail]:
    """Return the fields that a form changed, with their values before and after; passwords are left out."""
    return [
        {"name": _label(form, name), "before": _before(form, name), "after": _after(form, name)}
        for name in form.changed_data
    ]


def values_of(thing: models.Model) -> list[Detail]:
    """Return the values of an object that is about to be deleted."""
    return [
        {"name": str(field.verbose_name), "before": _text(field.value_from_object(thing)), "after": None}
        for field in thing._meta.concrete_fields
        if not _is_secret(field.name) and not isinstance(field, models.BinaryField)
    ]


def _label(form: Any, name: str) -> str:
    field = form.fields.get(name)
    return str((field.label if field is not None else None) or name.replace("_", " ").capitalize())


def _before(form: Any, name: str) -> str | None:
    if _is_hidden(form, name):
        return HIDDEN
    value = form[name].initial
    field = form.fields[name]
    if isinstance(field, forms.ModelChoiceField) and value is not None and not isinstance(value, (list, models.Model)):
        choices: Any = field.queryset
        value = choices.filter(pk=value).first() or value
    return _text(_choice(field, value))


def _after(form: Any, name: str) -> str | None:
    if _is_hidden(form, name):
        return HIDDEN
    return _text(_choice(form.fields[name], form.cleaned_data.get(name)))


def _is_hidden(form: Any, name: str) -> bool:
    field = form.fields.get(name)
    return field is None or _is_secret(name) or isinstance(field.widget, forms.PasswordInput)


def _is_secret(name: str) -> bool:
    return "password" in name or "secret" in name


def _choice(field: forms.Field, value: Any) -> Any:
    """Return the label of a choice."""
    if not isinstance(field, forms.ChoiceField) or isinstance(field, forms.ModelChoiceField):
        return value
    return dict(field.choices).get(value, value) if not isinstance(value, list) else value  # type: ignore[arg-type]


def _text(value: Any) -> str | None:
    """Return a value as people read it; None for nothing."""
    match value:
        case None | "":
            return None
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return f"{plain(value):f}"
        case dt.datetime() if value.tzinfo is not None:
            return instant_text(value)
        case str():
            return strip_tags(value)[:_LONGEST_VALUE] if hasattr(value, "__html__") else value[:_LONGEST_VALUE]
        case list() | tuple() | set() | models.QuerySet():
            return ", ".join(sorted(str(each) for each in value)) or None
    return str(value)[:_LONGEST_VALUE]
