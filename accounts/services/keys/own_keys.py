"""API keys as customers manage them: create, change, rotate and revoke, within a limit.

A customer's keys change one after another: every action that could add one locks the customer's row first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.errors import (
    ApiKeyExpired,
    ApiKeyRefused,
    ApiKeyReplaced,
    ApiKeyRevoked,
    OwnKeyNotFound,
    TokenInvalid,
    TooManyApiKeys,
)
from accounts.models import ApiKey, User
from accounts.services.account_notices import notify_key_created
from accounts.services.keys.api_keys import IssuedKey, issue_api_key, refuse_name
from accounts.services.keys.limits import COLUMNS as LIMITS
from accounts.services.keys.limits import NO_LIMITS, KeyLimits, limits_of, refuse_limits, set_limits

LONGEST_GRACE = dt.timedelta(days=7)


@transaction.atomic
def create_own_key(
    *,
    user_id: int,
    name: str,
    scopes: Collection[str],
    now: dt.datetime,
    expires_at: dt.datetime | None = None,
    limits: KeyLimits = NO_LIMITS,
) -> IssuedKey:
    """Create a key for a customer; its limit of calls a minute may be at most the site's default.

    :raises ApiKeyRefused: naming the invalid value
    :raises TooManyApiKeys: if the customer has reached the limit of working keys
    :raises TokenInvalid: if the customer was deactivated concurrently
    """
    user = _lock_customer(user_id)
    _refuse_faster_than_the_site(limits)
    issued = issue_api_key(user=user, name=name, scopes=scopes, now=now, expires_at=expires_at, limits=limits)
    _refuse_beyond_limit(user, now)
    notify_key_created(issued.api_key, is_by_staff=False, now=now)
    return issued


@transaction.atomic
def rotate_own_key(*, user_id: int, key_id: int, grace: dt.timedelta, now: dt.datetime) -> IssuedKey:
    """Replace a working key by a new one; the old one expires after `grace`, or earlier if it was to.

    The new key has the same name, scopes and limits and, if the old one expires, the same lifetime from `now`. Of
    several rotations of one key the first wins.

    :raises OwnKeyNotFound: if the customer has no such key
    :raises ApiKeyRevoked, ApiKeyExpired, ApiKeyReplaced: if it no longer works, or was rotated before
    :raises TooManyApiKeys: if both together exceed the limit of working keys; impossible without grace
    :raises TokenInvalid: if the customer was deactivated concurrently
    """
    user = _lock_customer(user_id)
    old = ApiKey.objects.of(user.pk).filter(pk=key_id).select_for_update(no_key=True).first()
    if old is None:
        raise OwnKeyNotFound
    _refuse_rotation(user, old, now)
    expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    issued = issue_api_key(
        user=user,
        name=old.name,
        scopes=old.scopes,
        now=now,
        expires_at=expires_at,
        limits=limits_of(old),
        replaces=old,
    )
    ends_at = now + grace
    if old.expires_at is None or ends_at < old.expires_at:
        ApiKey.objects.filter(pk=old.pk).update(expires_at=ends_at)
    _refuse_beyond_limit(user, now)
    notify_key_created(issued.api_key, is_by_staff=False, now=now)
    return issued


@transaction.atomic
def change_own_key(*, user_id: int, key_id: int, changes: Mapping[str, Any], now: dt.datetime) -> None:
    """Change a working key's `name` or any limit of `KeyLimits`; fields that are not named stay.

    A rate above the site's default, set by staff, may stay as well.

    :raises OwnKeyNotFound: if the customer has no such key
    :raises ApiKeyRevoked, ApiKeyExpired: if it no longer works
    :raises ApiKeyRefused: naming the invalid value
    """
    own = ApiKey.objects.of(user_id).filter(pk=key_id).select_for_update(no_key=True).first()
    if own is None:
        raise OwnKeyNotFound
    _refuse_key_of_the_past(own, now)
    name = changes.get("name", own.name)
    limits = replace(limits_of(own), **{name: changes[name] for name in changes if name in LIMITS})
    refuse_name(name)
    refuse_limits(limits, of_service=False)
    if limits.rate_limit_per_minute != own.rate_limit_per_minute:
        _refuse_faster_than_the_site(limits)
    own.name = name.strip()
    set_limits(own, limits)
    own.save(update_fields=["name", *LIMITS])


def revoke_own_key(*, user_id: int, key_id: int, now: dt.datetime) -> None:
    """Revoke a customer's key permanently; a key revoked before keeps its time of revocation.

    :raises OwnKeyNotFound: if the customer has no such key
    """
    own = ApiKey.objects.of(user_id).filter(pk=key_id)
    if not own.filter(revoked_at=None).update(revoked_at=now) and not own.exists():
        raise OwnKeyNotFound


def _lock_customer(user_id: int) -> User:
    # Not FOR UPDATE: rows that refer to the customer can still be inserted.
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=True).first()
    if user is None:
        raise TokenInvalid
    return user


def _refuse_faster_than_the_site(limits: KeyLimits) -> None:
    if (limits.rate_limit_per_minute or 0) > settings.RATE_LIMIT_PER_KEY:
        sentence = f"Your keys may call at most {settings.RATE_LIMIT_PER_KEY} times a minute."
        raise ApiKeyRefused("rate_limit_per_minute", sentence)


def _refuse_rotation(user: User, old: ApiKey, now: dt.datetime) -> None:
    newer = ApiKey.objects.of(user.pk).filter(replaces=old).first()
    if newer is not None and old.revoked_at is None:
        raise ApiKeyReplaced(replaced_by=newer.pk)
    _refuse_key_of_the_past(old, now)


def _refuse_key_of_the_past(own: ApiKey, now: dt.datetime) -> None:
    if own.revoked_at is not None:
        raise ApiKeyRevoked
    if own.expires_at is not None and own.expires_at <= now:
        raise ApiKeyExpired


def _refuse_beyond_limit(user: User, now: dt.datetime) -> None:
    """Roll back the change, by raising, if it exceeds the limit of keys; the customer's row is locked."""
    if ApiKey.objects.of(user.pk).working(now).count() > settings.API_KEYS_PER_CUSTOMER:
        raise TooManyApiKeys(limit=settings.API_KEYS_PER_CUSTOMER)
