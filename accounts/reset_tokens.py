"""The token of a link to set a new password: signed, for one use, valid for an hour.

It is not stored. It contains a fingerprint of the password and the email it was made for, so it ends when either
changes; setting a password changes the first, so the token works once.
"""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.errors import TokenInvalid
from accounts.models import User
from config.values.credits import LARGEST_ID

RESET_TOKEN_LIFETIME = dt.timedelta(hours=1)
_SALT = "accounts.reset_tokens"
_LONGEST_TOKEN = 512


def reset_link(user: User, *, now: dt.datetime) -> str:
    """Return the URL of the page where this person sets a new password."""
    return f"{settings.SITE_URL.rstrip('/')}/reset-password/{make_reset_token(user, now=now)}/"


def make_reset_token(user: User, *, now: dt.datetime) -> str:
    """Return a signed token that is valid for an hour from `now`."""
    ends_at = int((now + RESET_TOKEN_LIFETIME).timestamp())
    return signing.dumps([user.pk, ends_at, _fingerprint(user)], salt=_SALT)


def user_of_reset_token(token: str, *, now: dt.datetime) -> User:
    """Return the user whose password a token may set.

    :raises TokenInvalid: if it is forged, expired or used, or its user was deactivated or changed
    """
    if len(token) > _LONGEST_TOKEN or not token.isascii():
        raise TokenInvalid
    try:
        user_id, ends_at, fingerprint = signing.loads(token, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        raise TokenInvalid from None
    if not 0 < user_id <= LARGEST_ID or now.timestamp() >= ends_at:
        raise TokenInvalid
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not constant_time_compare(fingerprint, _fingerprint(user)):
        raise TokenInvalid
    return user


def _fingerprint(user: User) -> str:
    return salted_hmac(_SALT, f"{user.password}\n{user.email}", algorithm="sha256").hexdigest()[:32]
