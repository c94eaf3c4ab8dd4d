"""Answers about people that change nothing."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q

from accounts.errors import UserNotFound
from accounts.models import ApiKey, Subscription, User
from accounts.models.api_key import ApiKeyQuerySet
from accounts.models.plan import LIVE_STATUSES
from config.http.numbers import LARGEST_ID


def user_named(email_or_id: str) -> User:
    """Find a person by email address, in whatever case, or by id in digits.

    :raises UserNotFound: if there is none
    """
    named = email_or_id.strip()
    if named.isascii() and named.isdigit():
        found = User.objects.filter(pk=int(named)).first() if len(named) < len(str(LARGEST_ID)) else None
    else:
        found = User.objects.with_email(named).first()
    if found is None:
        raise UserNotFound(named)
    return found


def live_subscription_of(*, user_id: int) -> Subscription | None:
    """Find the subscription that is running, if any, with its plan; the database allows one."""
    return Subscription.objects.select_related("plan").filter(user_id=user_id, status__in=LIVE_STATUSES).first()


def keys_of(*, user_id: int, now: dt.datetime, status: str | None = None) -> ApiKeyQuerySet:
    """Give a customer's keys, newest first, each with its `status` as of now and the id it was `replaced_by`."""
    keys = ApiKey.objects.of(user_id).with_status(now).with_replacement().defer("key_hash").newest_first()
    return keys if status is None else keys.filter(Q(status=status))
