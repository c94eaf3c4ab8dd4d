"""Browsers that have signed in to the back office before, each recognised by a signed token.

The token does not sign anyone in. It only keeps others' guesses from locking this browser out (docs/decisions/0008).
"""

from __future__ import annotations

import datetime as dt
import secrets

from django.core import signing
from django.utils.crypto import constant_time_compare

from accounts.models import User
from accounts.tokens import fingerprint_of

DEVICES_ARE_KNOWN_FOR = dt.timedelta(days=180)
_SALT = "accounts.devices"
_FINGERPRINT_LENGTH = 16


def new_device_token(user: User) -> str:
    """Return a signed token for a browser that has just signed in; it ends when the password changes."""
    return signing.dumps([user.pk, secrets.token_hex(16), _short_fingerprint(user)], salt=_SALT)


def device_of(token: str, user: User | None) -> str:
    """Return the name of the browser that this token was made for; empty if it was not for this person."""
    if not token or user is None:
        return ""
    try:
        user_id, device, fingerprint = signing.loads(token, salt=_SALT, max_age=DEVICES_ARE_KNOWN_FOR)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    is_theirs = user_id == user.pk and constant_time_compare(fingerprint, _short_fingerprint(user))
    return str(device) if is_theirs else ""


def _short_fingerprint(user: User) -> str:
    return fingerprint_of(user)[:_FINGERPRINT_LENGTH]
