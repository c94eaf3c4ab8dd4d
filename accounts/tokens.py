"""The access and refresh tokens of a sign-in: sign them and read them.

Both contain the user, the sign-in they belong to (`family`) and a fingerprint of the stored password hash, so that
every change of the password revokes them. simplejwt signs and verifies; its own claim for the purpose
(CHECK_REVOKE_TOKEN) is not used: it is a bare MD5 of the stored hash, and is looked at on access only.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.errors import TokenInvalid
from accounts.models import User
from config.values.credits import LARGEST_ID

_FAMILY_CLAIM = "family"
_FINGERPRINT_CLAIM = "fingerprint"
_LONGEST_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens that a sign-in or a refresh returns."""

    access: str
    refresh: str
    expires_in_seconds: int
    token_type: str = "Bearer"  # noqa: S105  a scheme, not a secret


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token."""

    user_id: int
    family_id: uuid.UUID
    jti: str
    fingerprint: str
    expires_at: dt.datetime

    def match(self, user: User) -> bool:
        """Return whether this user is active and has the password that the token was made for."""
        return user.is_active and constant_time_compare(self.fingerprint, fingerprint_of(user))


def fingerprint_of(user: User) -> str:
    """Return a digest of the stored password hash that a token can carry without revealing it."""
    return _fingerprint(user.password, api_settings.SIGNING_KEY)


@lru_cache(maxsize=4_096)
def _fingerprint(stored_hash: str, secret: str) -> str:
    return salted_hmac("accounts.tokens", stored_hash, secret=secret, algorithm="sha256").hexdigest()


def refresh_token_ends_at(now: dt.datetime) -> dt.datetime:
    """Return when a refresh token made at `now` expires."""
    return now + max(settings.REFRESH_TOKEN_LIFETIME, settings.ACCESS_TOKEN_LIFETIME)


def make_pair(*, user: User, family_id: uuid.UUID, now: dt.datetime) -> TokenPair:
    """Return a new access and refresh token of one sign-in."""
    return TokenPair(
        access=_signed(AccessToken(), settings.ACCESS_TOKEN_LIFETIME, user, family_id, now),
        refresh=_signed(RefreshToken(), settings.REFRESH_TOKEN_LIFETIME, user, family_id, now),
        expires_in_seconds=int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
    )


def read_access(raw: str) -> Claims:
    """Verify an access token and return its claims; a verified token is cached until it expires.

    :raises TokenInvalid: if it is anything else
    """
    return _unexpired(_verified_access(raw))


@lru_cache(maxsize=4_096)
def _verified_access(raw: str) -> Claims:
    """Verify the signature, whose result never changes for one text; a refusal is not cached."""
    return _read(AccessToken, raw)


def read_refresh(raw: str) -> Claims:
    """Verify a refresh token and return its claims.

    :raises TokenInvalid: if it is anything else
    """
    return _unexpired(_read(RefreshToken, raw))


def _unexpired(claims: Claims) -> Claims:
    """Refuse a token from its `exp` on: CLOCK_LEEWAY applies to `iat` only."""
    if claims.expires_at <= timezone.now():
        raise TokenInvalid
    return claims


def _signed(token: Token, lifetime: dt.timedelta, user: User, family_id: uuid.UUID, now: dt.datetime) -> str:
    token.set_iat(at_time=now)
    token.set_exp(from_time=now, lifetime=lifetime)
    token[api_settings.USER_ID_CLAIM] = str(user.pk)
    token[_FAMILY_CLAIM] = str(family_id)
    token[_FINGERPRINT_CLAIM] = fingerprint_of(user)
    return str(token)


def _read(kind: type[Token], raw: str) -> Claims:
    if len(raw) > _LONGEST_TOKEN or not raw.isascii():
        raise TokenInvalid
    try:
        token = kind(raw)  # type: ignore[arg-type]  # annotated as Token, but accepts the encoded text
        return Claims(
            user_id=_user_id(token[api_settings.USER_ID_CLAIM]),
            family_id=uuid.UUID(token[_FAMILY_CLAIM]),
            jti=_text(token[api_settings.JTI_CLAIM]),
            fingerprint=_text(token[_FINGERPRINT_CLAIM]),
            expires_at=dt.datetime.fromtimestamp(token["exp"], dt.UTC),
        )
    except (TokenError, KeyError, ValueError, TypeError, AttributeError, OverflowError, OSError):
        # Reached only by tokens signed with our key, such as those of an older version.
        raise TokenInvalid from None


def _user_id(claim: Any) -> int:
    text = _text(claim)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))):
        raise ValueError
    if not 0 < int(text) <= LARGEST_ID:
        raise ValueError
    return int(text)


def _text(claim: Any) -> str:
    if not isinstance(claim, str) or not 0 < len(claim) <= 64 or not claim.isascii():
        raise ValueError
    return claim
