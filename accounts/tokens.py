"""The two tokens of a sign-in: how they are made, and what is read from one that comes back.

Both name the user, the sign-in they descend from (`family`) and a fingerprint of the stored password hash, so that
whatever changes the password kills them. simplejwt signs and verifies; its own claim for the purpose
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
    """What a sign-in or a refresh hands out."""

    access: str
    refresh: str
    expires_in_seconds: int
    token_type: str = "Bearer"  # noqa: S105  a scheme, not a secret


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says."""

    user_id: int
    family_id: uuid.UUID
    jti: str
    fingerprint: str
    expires_at: dt.datetime

    def fit(self, user: User) -> bool:
        """Tell whether this user may still be who the token was made for."""
        return user.is_active and constant_time_compare(self.fingerprint, fingerprint_of(user))


def fingerprint_of(user: User) -> str:
    """Digest the stored password hash, so that a token can carry it without telling anything about it."""
    return _fingerprint(user.password, api_settings.SIGNING_KEY)


@lru_cache(maxsize=4_096)
def _fingerprint(stored_hash: str, secret: str) -> str:
    return salted_hmac("accounts.tokens", stored_hash, secret=secret, algorithm="sha256").hexdigest()


def refresh_token_ends_at(now: dt.datetime) -> dt.datetime:
    """Say when a pair made now will have ended for good."""
    return now + max(settings.REFRESH_TOKEN_LIFETIME, settings.ACCESS_TOKEN_LIFETIME)


def make_pair(*, user: User, family_id: uuid.UUID, now: dt.datetime) -> TokenPair:
    """Sign a new access and refresh token of one sign-in."""
    return TokenPair(
        access=_signed(AccessToken(), settings.ACCESS_TOKEN_LIFETIME, user, family_id, now),
        refresh=_signed(RefreshToken(), settings.REFRESH_TOKEN_LIFETIME, user, family_id, now),
        expires_in_seconds=int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
    )


def read_access(raw: str) -> Claims:
    """Verify an access token and read it; what was verified once is remembered until it ends.

    :raises TokenInvalid: for whatever else it is
    """
    return _unexpired(_verified_access(raw))


@lru_cache(maxsize=4_096)
def _verified_access(raw: str) -> Claims:
    """Verify the signature, which a text either has for good or never; a refusal is not remembered."""
    return _read(AccessToken, raw)


def read_refresh(raw: str) -> Claims:
    """Verify a refresh token and read it.

    :raises TokenInvalid: for whatever else it is
    """
    return _unexpired(_read(RefreshToken, raw))


def _unexpired(claims: Claims) -> Claims:
    """Refuse a token from its very end on: the leeway of CLOCK_LEEWAY is for when it was issued (`iat`) alone."""
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
        token = kind(raw)  # type: ignore[arg-type]  # simplejwt's annotation says Token, it takes the encoded text
        return Claims(
            user_id=_user_id(token[api_settings.USER_ID_CLAIM]),
            family_id=uuid.UUID(token[_FAMILY_CLAIM]),
            jti=_text(token[api_settings.JTI_CLAIM]),
            fingerprint=_text(token[_FINGERPRINT_CLAIM]),
            expires_at=dt.datetime.fromtimestamp(token["exp"], dt.UTC),
        )
    except (TokenError, KeyError, ValueError, TypeError, AttributeError, OverflowError, OSError):
        # Only who has the signing key gets past TokenError: a token of an older version, or a forger's experiment.
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
