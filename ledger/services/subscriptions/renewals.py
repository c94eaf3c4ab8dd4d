"""Renewals: beginning the periods that are due, on the first call that needs them."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Subscription, SubscriptionStatus
from accounts.selectors import live_subscription_of
from ledger.models import SubscriptionPeriod
from ledger.services.grants import settle_grants

AT_ONCE = dt.timedelta(0)


def customers_due(*, user_id: int | None = None, since: dt.timedelta = AT_ONCE) -> list[int]:
    """Return the customers whose subscription reached the end of a period that long ago, by the database's clock."""
    by = Now() - since
    period_is_over = Q(status=SubscriptionStatus.ACTIVE, current_period_end__lte=by)
    time_is_over = Q(status=SubscriptionStatus.PAUSED, ends_at__lte=by)
    due = Subscription.objects.filter(period_is_over | time_is_over, anchor_at__isnull=False)
    if user_id is not None:
        due = due.filter(user_id=user_id)
    return list(due.order_by("user_id").values_list("user_id", flat=True))


def renew_subscription(*, user_id: int) -> int:
    """Begin the due periods of a customer's subscription, in order; return how many.

    Repeating it finds nothing more, and of concurrent calls each period is begun by one. A long history is settled in
    batches first, so that no charge waits for all of it.
    """
    before = _periods(user_id)
    settle_grants(user_id=user_id)
    return _periods(user_id) - before


def current_subscription_of(*, user_id: int, now: dt.datetime) -> Subscription | None:
    """Return a customer's running subscription as of `now`, whether or not a job has run."""
    found = live_subscription_of(user_id=user_id)
    if found is None or not is_due(found, now=now):
        return found
    settle_grants(user_id=user_id)
    return live_subscription_of(user_id=user_id)


def is_due(subscription: Subscription, *, now: dt.datetime) -> bool:
    """Return whether its period, or the subscription, is over and not settled yet."""
    if subscription.anchor_at is None:
        return False
    ends = subscription.ends_at if subscription.status == SubscriptionStatus.PAUSED else subscription.current_period_end
    return ends is not None and ends <= now


def _periods(user_id: int) -> int:
    return SubscriptionPeriod.objects.filter(user_id=user_id).count()
