"""Idempotency: the payload under a key, in a form that can be compared."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

import simplejson


def fingerprint(payload: dict[str, Any]) -> bytes:
    """Return the SHA-256 of a validated payload: equal for 3, 3.0 and 3.000000, whatever the order of keys."""
    canonical = simplejson.dumps(_canonical(payload), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).digest()


def _canonical(value: Any) -> Any:
    match value:
        case bool() | None | str() | int():
            return value
        case Decimal():
            # A tagged text: the number 3 and the text "3" differ, 3 and 3.000000 are equal.
            return {"decimal": format(value.normalize(), "f")}
        case dict():
            return {str(key): _canonical(item) for key, item in value.items()}
        case list() | tuple():
            return [_canonical(item) for item in value]
    return {type(value).__name__: str(value)}
