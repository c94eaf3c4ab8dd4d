"""The outlook of a customer: their forecast, and the next credits of their subscription."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from django.db import Error
from django.db.models import Exists, OuterRef, Q

from accounts.models import Subscription, SubscriptionStatus
from accounts.selectors import live_subscription_of
from config.db.snapshot import snapshot
from config.rounds import Round
from ledger.models import Balance, Grant
from ledger.services.grants import settle_grants
from usage.services.forecasts.selectors import Forecast, forecast_of, forecasts_of

_BRING_CREDITS = (SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE)


@dataclass(frozen=True)
class UpcomingCredits:
    """Credits that a running subscription will bring, and when."""

    credits: Decimal
    at: dt.datetime


@dataclass(frozen=True)
class Outlook:
    """The forecast and the next credits of a subscription, read on one snapshot."""

    forecast: Forecast
    coming: UpcomingCredits | None


def outlook_of(*, user_id: int, now: dt.datetime) -> Outlook:
    """Return a customer's outlook, read on one snapshot.

    Expired grants and holds, and the remainders of grants that will expire, are settled first.
    """
    for due in _customers_to_settle([user_id], now):
        settle_grants(user_id=due)
    with snapshot():
        return Outlook(forecast_of(user_id=user_id, now=now), _coming(user_id, now))


def settled_forecasts_of(user_ids: Collection[int], *, now: dt.datetime, customers: Round) -> dict[int, Forecast]:
    """Return the forecasts of many customers, read in one statement once their grants are settled where needed.

    Each customer is settled in a turn of their own; those whose turn fails have no forecast.
    """
    for user_id in _customers_to_settle(user_ids, now):
        with customers.turn(user_id):
            settle_grants(user_id=user_id)
    served = [user_id for user_id in user_ids if user_id not in customers.failed]
    try:
        return forecasts_of(served, now=now)
    except Error:  # caused by one of them: the others still get theirs
        forecasts: dict[int, Forecast] = {}
        for user_id in served:
            with customers.turn(user_id):
                forecasts[user_id] = forecast_of(user_id=user_id, now=now)
        return forecasts


def _customers_to_settle(user_ids: Collection[int], now: dt.datetime) -> list[int]:
    """Return the ids of those customers with a settlement due, or with credits that will expire."""
    expiring = Grant.objects.filter(user_id=OuterRef("user_id"), expires_at__gt=now, remaining__gt=0)
    due = Balance.objects.filter(Q(next_expiry_at__lte=now) | Exists(expiring), user_id__in=user_ids)
    return list(due.order_by("user_id").values_list("user_id", flat=True))


def _coming(user_id: int, now: dt.datetime) -> UpcomingCredits | None:
    """Return the credits of a subscription's next period, if that is certain to start."""
    subscription = live_subscription_of(user_id=user_id)
    if subscription is None or subscription.anchor_at is None or subscription.status not in _BRING_CREDITS:
        return None
    at = subscription.next_grant_at
    if at is None or at <= now or _ends_before(subscription, at):
        return None
    waiting = subscription.pending_credits
    credits = subscription.credits_per_period if waiting is None else waiting
    return UpcomingCredits(credits, at) if credits else None


def _ends_before(subscription: Subscription, at: dt.datetime) -> bool:
    ends_at = subscription.current_period_end if subscription.cancel_at_period_end else subscription.ends_at
    return ends_at is not None and ends_at <= at
