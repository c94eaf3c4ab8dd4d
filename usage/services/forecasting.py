"""What a customer is told about the days ahead."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Exists, OuterRef, Q

from accounts.models import Subscription, SubscriptionStatus
from accounts.selectors import live_subscription_of
from config.db.snapshot import snapshot
from ledger.models import Balance, Grant
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

    What is due is settled first, and what is left of lots reckoned for those who have credits that expire.
    """
    settle_expiring([user_id], now=now)
    with snapshot():
        return Outlook(forecast_of(user_id=user_id, now=now), _coming(user_id, now))


def settled_forecasts_of(user_ids: Collection[int], *, now: dt.datetime) -> dict[int, Forecast]:
    """Forecast for many customers in one statement, once the lots of those who need it are reckoned."""
    settle_expiring(user_ids, now=now)
    return forecasts_of(user_ids, now=now)


def settle_expiring(user_ids: Collection[int], *, now: dt.datetime) -> None:
    """Settle what is due of these customers, and reckon the lots of those who have credits that are to expire."""
    expiring = Grant.objects.filter(user_id=OuterRef("user_id"), expires_at__gt=now, remaining__gt=0)
    due = Balance.objects.filter(Q(next_expiry_at__lte=now) | Exists(expiring), user_id__in=user_ids)
    for user_id in due.order_by("user_id").values_list("user_id", flat=True):
        settle_grants(user_id=user_id)


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
