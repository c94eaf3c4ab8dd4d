"""Opaque cursors: a signed position in one list, so that no page costs more than the first."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from typing import Any

from django.utils.crypto import salted_hmac

LONGEST_CURSOR = 1024
_SIGNATURE_BYTES = 12


class BrokenCursor(ValueError):
    """This text is not a cursor of this list."""


def seal_cursor(position: list[Any], *, of: str) -> str:
    """Return a position (JSON values) in the list named by `of` as a signed base64url text."""
    payload = json.dumps(position, separators=(",", ":"), default=str).encode()
    return base64.urlsafe_b64encode(_signature(payload, of) + payload).rstrip(b"=").decode()


def open_cursor(text: str, *, of: str) -> list[Any]:
    """Return the position that was sealed for this list.

    :raises BrokenCursor: if the text is damaged, forged, or a cursor of another list
    """
    if len(text) > LONGEST_CURSOR or not text.isascii():
        raise BrokenCursor
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BrokenCursor from None
    signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(payload, of)):
        raise BrokenCursor
    position = json.loads(payload)
    return position if isinstance(position, list) else [position]


def _signature(payload: bytes, of: str) -> bytes:
    digest: bytes = salted_hmac(f"config.http.cursors:{of}", payload, algorithm="sha256").digest()
    return digest[:_SIGNATURE_BYTES]
