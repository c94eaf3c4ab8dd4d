"""The form of an API key: how one is made, recognised without a look-up, and hashed.

`tb_live_` + 12 base62 (public prefix) + `_` + 32 base62 (secret) + 6 base62 (CRC-32 of all before it). The check sum
is no protection: it lets scanners recognise a key, and lets us refuse a mistyped one without asking the database.
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
    """Draw a new key: the whole secret, about 190 random bits."""
    drawn = "".join(choose(_BASE62) for _ in range(PREFIX_LENGTH + _SECRET_LENGTH))
    body = f"{KEY_START}{drawn[:PREFIX_LENGTH]}_{drawn[PREFIX_LENGTH:]}"
    return body + check_sum_of(body)


def is_well_formed(key: str) -> bool:
    """Tell whether this can be a key of ours, by its form and check sum alone."""
    form = _FORM.fullmatch(key)
    return form is not None and form["check"] == check_sum_of(key[:-_CHECK_LENGTH])


def prefix_of(key: str) -> str:
    """Cut the public prefix out of a well-formed key."""
    return key.removeprefix(KEY_START)[:PREFIX_LENGTH]


def hash_of(key: str) -> bytes:
    """Hash the key as it is stored; SHA-256 is enough, since nobody can guess 190 random bits."""
    return hashlib.sha256(key.encode()).digest()


def check_sum_of(body: str) -> str:
    """Write the CRC-32 of an ASCII text in base62, digits before capitals before small letters, padded with 0."""
    remainder, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(_CHECK_LENGTH):
        remainder, digit = divmod(remainder, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits
