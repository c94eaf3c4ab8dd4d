"""JSON as responses, logs and the database contain it: exact decimals, timestamps in UTC."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import simplejson
from django.utils.functional import Promise

from config.values.timestamps import instant_text


def exact_json(data: Any) -> str:
    """Return a value as JSON text: exact decimals, timestamps in UTC; NaN and infinity raise a ValueError."""
    text: str = _WRITER.encode(data)
    return text


def _shown(value: Any) -> Any:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("Only finite numbers can be written as JSON.")
        return simplejson.RawJSON(f"{value:f}")
    if isinstance(value, dt.datetime):
        return instant_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, Promise)):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON.")


_WRITER = simplejson.JSONEncoder(
    default=_shown, use_decimal=False, ensure_ascii=False, allow_nan=False, separators=(",", ":")
)
