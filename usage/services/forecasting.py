"""What a customer is told about the days ahead."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from accounts.models import SubscriptionStatus
from accounts.selectors import live_subscription_of
from config.db.snapshot import snapshot
from ledger.models import Grant
from ledger.services.grants import settle_grants
from usage.forecasts import Forecast, forecast_of, forecasts_of

_BRING_CREDITS = (SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE)


@dataclass(frozen=True)
class Coming:
    """Credits that a running subscription will bring, and when."""

    credits: Decimal
    at: dt.datetime


@dataclass(frozen=True)
class Outlook:
    """How long the credits last, and what is known to come; of one moment."""

    forecast: Forecast
    coming: Coming | None


def outlook_of(*, user_id: int, now: dt.datetime) -> Outlook:
    """Give a customer's outlook, as of one snapshot.

    What is left of lots is reckoned first, for those who have credits that expire, and for nobody else.
    """
    settle_expiring([user_id], now=now)
    with snapshot():
        return Outlook(forecast_of(user_id=user_id, now=now), _coming(user_id, now))


def settled_forecasts_of(user_ids: Collection[int], *, now: dt.datetime) -> dict[int, Forecast]:
    """Forecast for many customers in one statement, once the lots of those who need it are reckoned."""
    settle_expiring(user_ids, now=now)
    return forecasts_of(user_ids, now=now)


def settle_expiring(user_ids: Collection[int], *, now: dt.datetime) -> None:
    """Reckon what is left of the lots of those among these customers who have credits that are to expire."""
    expiring = Grant.objects.filter(user_id__in=user_ids, expires_at__gt=now, remaining__gt=0)
    for user_id in expiring.values_list("user_id", flat=True).distinct():
        settle_grants(user_id=user_id)


def _coming(user_id: int, now: dt.datetime) -> Coming | None:
    subscription = live_subscription_of(user_id=user_id)
    if subscription is None or subscription.status not in _BRING_CREDITS:
        return None
    at = subscription.next_grant_at
    ends = subscription.cancel_at_period_end and at is not None and at >= subscription.current_period_end
    if at is None or at <= now or ends or subscription.credits_per_period == 0:
        return None
    return Coming(subscription.credits_per_period, at)
