"""Limits of one key: its calls a minute, and the credits that it may spend.

Spending is outside this app: here a spending limit is a number on the key, which charges enforce.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from accounts.errors import ApiKeyNotFound, ApiKeyRefused
from accounts.models import LARGEST_SPENDING_LIMIT, MOST_CALLS_PER_MINUTE, ApiKey


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """The limits of one key.

    `rate_limit_per_minute` None means the site's default, where there is one; `spending_limit`, in credits,
    None means no limit. The count of spent credits restarts on `spending_reset_day` of each month (UTC), or in a month
    that is too short on its last day.
    """

    rate_limit_per_minute: int | None = None
    spending_limit: Decimal | None = None
    spending_reset_day: int = 1


NO_LIMITS = KeyLimits()
COLUMNS = ("rate_limit_per_minute", "spending_limit", "spending_reset_day")


def limits_of(api_key: ApiKey) -> KeyLimits:
    """Return a key's own limits."""
    return KeyLimits(**{name: getattr(api_key, name) for name in COLUMNS})


def refuse_limits(limits: KeyLimits, *, of_service: bool) -> None:
    """Refuse limits that a key, or a service key, may not have.

    :raises ApiKeyRefused: naming the invalid limit
    """
    calls, credits = limits.rate_limit_per_minute, limits.spending_limit
    if calls is not None and not 1 <= calls <= MOST_CALLS_PER_MINUTE:
        raise ApiKeyRefused("rate_limit_per_minute", f"A key may call 1 to {MOST_CALLS_PER_MINUTE} times a minute.")
    if credits is not None and of_service:
        raise ApiKeyRefused("spending_limit", "A service key spends nothing of its own: it has no spending limit.")
    if credits is not None and not 0 < credits <= LARGEST_SPENDING_LIMIT:
        raise ApiKeyRefused("spending_limit", f"A spending limit is more than 0 and at most {LARGEST_SPENDING_LIMIT}.")
    if not 1 <= limits.spending_reset_day <= 31:
        raise ApiKeyRefused("spending_reset_day", "The day of the month is one from 1 to 31.")


@transaction.atomic
def change_limits(*, key_id: int, limits: KeyLimits) -> tuple[ApiKey, KeyLimits]:
    """Replace the limits of any key; return the key and its former limits.

    Repetition changes nothing.

    :raises ApiKeyNotFound: if there is no such key
    :raises ApiKeyRefused: if the key may not have such limits
    """
    api_key = ApiKey.objects.select_for_update(no_key=True).filter(pk=key_id).first()
    if api_key is None:
        raise ApiKeyNotFound
    refuse_limits(limits, of_service=api_key.user_id is None)
    before = limits_of(api_key)
    set_limits(api_key, limits)
    api_key.save(update_fields=COLUMNS)
    return api_key, before


def set_limits(api_key: ApiKey, limits: KeyLimits) -> None:
    """Set limits on a key that is about to be saved."""
    for name in COLUMNS:
        setattr(api_key, name, getattr(limits, name))
