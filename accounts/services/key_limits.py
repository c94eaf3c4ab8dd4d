"""Limits of one key: how often it may call."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from accounts.errors import ApiKeyNotFound, ApiKeyRefused
from accounts.models import MOST_CALLS_PER_MINUTE, ApiKey


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may use up; None leaves it to the site's default, where there is one."""

    rate_limit_per_minute: int | None = None


NO_LIMITS = KeyLimits()


def limits_of(api_key: ApiKey) -> KeyLimits:
    """Give the limits that a key has of its own."""
    return KeyLimits(rate_limit_per_minute=api_key.rate_limit_per_minute)


def refuse_limits(limits: KeyLimits) -> None:
    """Refuse limits that no key may have.

    :raises ApiKeyRefused: naming what is wrong with them
    """
    calls = limits.rate_limit_per_minute
    if calls is not None and not 1 <= calls <= MOST_CALLS_PER_MINUTE:
        raise ApiKeyRefused("rate_limit_per_minute", f"A key may call 1 to {MOST_CALLS_PER_MINUTE} times a minute.")


@transaction.atomic
def change_limits(*, key_id: int, limits: KeyLimits) -> tuple[ApiKey, KeyLimits]:
    """Give a key these limits in place of its own, whosever it is; answers the key and what it had before.

    Repetition changes nothing.

    :raises ApiKeyNotFound: if there is no such key
    :raises ApiKeyRefused: if no key may have such limits
    """
    api_key = ApiKey.objects.select_for_update(no_key=True).filter(pk=key_id).first()
    if api_key is None:
        raise ApiKeyNotFound
    refuse_limits(limits)
    before = limits_of(api_key)
    api_key.rate_limit_per_minute = limits.rate_limit_per_minute
    api_key.save(update_fields=["rate_limit_per_minute"])
    return api_key, before
