"""Credits as staff read and enter them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from config.values.credits import NotACreditAmount, parse_credits, plain

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?", re.ASCII)
NOTHING = "–"


def shown(credits: Decimal | None) -> str:
    """Return an amount for people: `1,234.5`; a dash for None."""
    return NOTHING if credits is None else f"{plain(credits):,f}"


def shown_signed(credits: Decimal) -> str:
    """Return a change for people: `+1,234.5`, `-0.25`."""
    return f"{plain(credits):+,f}"


class CreditsField(forms.Field):
    """An amount of credits, parsed as in the API."""

    def __init__(self, *, allow_negative: bool = False, allow_zero: bool = False, **options: Any) -> None:
        for of_decimal_fields in ("max_digits", "decimal_places"):  # arguments of a model's DecimalField
            options.pop(of_decimal_fields, None)
        options.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(**options)
        self.allow_negative = allow_negative
        self.allow_zero = allow_zero

    def to_python(self, value: Any) -> Any:
        text = "" if value is None else str(value).strip()
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise ValidationError("Write a number such as 12.5, without blanks or separators.", code="invalid")
        try:
            return parse_credits(
                str(text).removeprefix("+"), allow_negative=self.allow_negative, allow_zero=self.allow_zero
            )
        except NotACreditAmount as refusal:
            raise ValidationError(str(refusal), code="invalid") from None

    def prepare_value(self, value: Any) -> Any:
        return f"{plain(value):f}" if isinstance(value, Decimal) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True
