"""The format of an API key: create one, check it without a look-up, and hash it.

`tb_live_` + 12 base62 (public prefix) + `_` + 32 base62 (secret) + 6 base62 (CRC-32 of all before it). The check sum
is no protection: scanners recognise a key by it, and mistyped keys are refused without a query.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Callable

KEY_START = "tb_live_"
PREFIX_LENGTH = 12
_SECRET_LENGTH = 32
_CHECK_LENGTH = 6
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(
    rf"{KEY_START}(?P<prefix>[0-9A-Za-z]{{{PREFIX_LENGTH}}})_"
    rf"[0-9A-Za-z]{{{_SECRET_LENGTH}}}(?P<check>[0-9A-Za-z]{{{_CHECK_LENGTH}}})"
)


def make_key(*, choose: Callable[[str], str] = secrets.choice) -> str:
    """Return a new key; its secret has about 190 random bits."""
    drawn = "".join(choose(_BASE62) for _ in range(PREFIX_LENGTH + _SECRET_LENGTH))
    body = f"{KEY_START}{drawn[:PREFIX_LENGTH]}_{drawn[PREFIX_LENGTH:]}"
    return body + check_sum_of(body)


def is_well_formed(key: str) -> bool:
    """Return whether a text has the format and check sum of a key."""
    form = _FORM.fullmatch(key)
    return form is not None and form["check"] == check_sum_of(key[:-_CHECK_LENGTH])


def prefix_of(key: str) -> str:
    """Return the public prefix of a well-formed key."""
    return key.removeprefix(KEY_START)[:PREFIX_LENGTH]


def hash_of(key: str) -> bytes:
    """Return the stored hash of a key; SHA-256 is enough, since 190 random bits cannot be guessed."""
    return hashlib.sha256(key.encode()).digest()


def check_sum_of(body: str) -> str:
    """Return the CRC-32 of an ASCII text in base62: digits, then capitals, then small letters, padded with 0."""
    remainder, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(_CHECK_LENGTH):
        remainder, digit = divmod(remainder, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits
