"""What a customer is told about the days ahead."""

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

    What is due is settled first, and what is left of lots reckoned for those who have credits that expire.
    """
    for due in _customers_to_settle([user_id], now):
        settle_grants(user_id=due)
    with snapshot():
        return Outlook(forecast_of(user_id=user_id, now=now), _coming(user_id, now))


def settled_forecasts_of(user_ids: Collection[int], *, now: dt.datetime, customers: Round) -> dict[int, Forecast]:
    """Forecast for many customers in one statement, once the grants of those who need it are settled.

    Each is settled in a turn of its own: those whose turn fails have no forecast.
    """
    for user_id in _customers_to_settle(user_ids, now):
        with customers.turn(user_id):
            settle_grants(user_id=user_id)
    served = [user_id for user_id in user_ids if user_id not in customers.failed]
    try:
        return forecasts_of(served, now=now)
    except Error:  # of one of them: the others have theirs
        forecasts: dict[int, Forecast] = {}
        for user_id in served:
            with customers.turn(user_id):
                forecasts[user_id] = forecast_of(user_id=user_id, now=now)
        return forecasts


def _customers_to_settle(user_ids: Collection[int], now: dt.datetime) -> list[int]:
    """Name those of these customers of whom something is due, or who have credits that are to expire."""
    expiring = Grant.objects.filter(user_id=OuterRef("user_id"), expires_at__gt=now, remaining__gt=0)
    due = Balance.objects.filter(Q(next_expiry_at__lte=now) | Exists(expiring), user_id__in=user_ids)
    return list(due.order_by("user_id").values_list("user_id", flat=True))


def _coming(user_id: int, now: dt.datetime) -> Coming | None:
    """Tell what the next period of a subscription brings, if it is known to begin."""
    subscription = live_subscription_of(user_id=user_id)
    if subscription is None or subscription.anchor_at is None or subscription.status not in _BRING_CREDITS:
        return None
    at = subscription.next_grant_at
    if at is None or at <= now or _ends_before(subscription, at):
        return None
    waiting = subscription.pending_credits
    credits = subscription.credits_per_period if waiting is None else waiting
    return Coming(credits, at) if credits else None


def _ends_before(subscription: Subscription, at: dt.datetime) -> bool:
    ends_at = subscription.current_period_end if subscription.cancel_at_period_end else subscription.ends_at
    return ends_at is not None and ends_at <= at
