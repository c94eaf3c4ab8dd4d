"""Idempotency keys as callers write them."""

from __future__ import annotations

import re

LONGEST_KEY = 255
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class NotAnIdempotencyKey(ValueError):
    """This text is not a valid idempotency key."""

    def __init__(self) -> None:
        super().__init__(f"An idempotency key is 1 to {LONGEST_KEY} printable ASCII characters.")


def parse_idempotency_key(text: str) -> str:
    """Return the key if it is valid.

    :raises NotAnIdempotencyKey: if it is not
    """
    if not _KEY.fullmatch(text) or not text.strip():
        raise NotAnIdempotencyKey
    return text
