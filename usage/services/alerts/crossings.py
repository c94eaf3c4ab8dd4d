"""Telling customers that their available credits fell below a threshold, and that they are back.

The move itself notes a crossing (docs/decisions/0032). What the customer was told of last stands in the alert; where
the two differ, something is to be told. So each crossing is told once whoever looks, and whenever they are killed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import NamedTuple

from django.db import transaction

from config.db.prepared import read_prepared
from config.rounds import Round
from ledger.models import Threshold
from ledger.services.thresholds import rearm, watch_available
from usage.models import Alert, AlertKind
from usage.models.alert import LEAST_CREDITS
from usage.services.alerts.actions import make_default_alerts
from usage.services.alerts.notices import RECOVERED, TYPE_BY_KIND, notify_crossed, notify_recovered
from usage.services.forecasts.outlook import settled_forecasts_of
from usage.services.forecasts.selectors import Forecast

ALERTS_AT_ONCE = 200
RECENTLY = dt.timedelta(days=1)

_NAME = "CASE a.kind WHEN 'depleted' THEN 'alert-depleted' ELSE 'alert-' || a.id END"
_DUE = f"""
    SELECT a.id, a.user_id, a.kind, t.crossed_at IS NOT NULL, a.crossed_at IS NOT NULL
    FROM ledger_threshold t JOIN usage_alert a ON a.user_id = t.user_id AND t.name = {_NAME}
    WHERE t.name LIKE 'alert-%%' AND t.crossed_at IS NOT NULL AND a.is_enabled
        AND a.crossed_at IS DISTINCT FROM t.crossed_at
    UNION
    SELECT a.id, a.user_id, a.kind, t.crossed_at IS NOT NULL, true
    FROM usage_alert a LEFT JOIN ledger_threshold t ON t.user_id = a.user_id AND t.name = {_NAME}
    WHERE a.crossed_at IS NOT NULL AND a.is_enabled AND a.kind IN ('balance_below', 'depleted')
        AND a.crossed_at IS DISTINCT FROM t.crossed_at
    ORDER BY 1
"""
_UNTOLD = f"""
    SELECT count(*) FROM ledger_threshold t JOIN usage_alert a ON a.user_id = t.user_id AND t.name = {_NAME}
    WHERE t.name LIKE 'alert-%%' AND t.crossed_at < %s AND a.is_enabled AND a.crossed_at IS DISTINCT FROM t.crossed_at
"""
# Whose thresholds may be armed again: `rearm` decides, once what has expired is settled.
_BACK = """
    SELECT DISTINCT t.user_id FROM ledger_threshold t JOIN ledger_balance b ON b.user_id = t.user_id
    WHERE t.name LIKE 'alert-%%' AND t.crossed_at IS NOT NULL
        AND (b.balance - b.reserved >= t.below OR b.next_expiry_at <= %s)
    ORDER BY 1
"""
_TOLD_AND_BACK = f"""
    SELECT count(*) FROM ledger_threshold t JOIN ledger_balance b ON b.user_id = t.user_id
    JOIN usage_alert a ON a.user_id = t.user_id AND t.name = {_NAME}
    WHERE t.name LIKE 'alert-%%' AND t.crossed_at IS NOT NULL AND b.balance - b.reserved >= t.below
        AND a.is_enabled AND a.crossed_at = t.crossed_at
"""
_UNWATCHED = """
    SELECT b.user_id FROM ledger_balance b
    WHERE (b.balance - b.reserved > 0 OR b.seq > 0 AND b.updated_at > %s)
        AND NOT EXISTS (SELECT FROM ledger_threshold t WHERE t.user_id = b.user_id AND t.name = 'alert-depleted')
        AND NOT EXISTS (
            SELECT FROM usage_alert a WHERE a.user_id = b.user_id AND a.kind = 'depleted' AND NOT a.is_enabled)
    ORDER BY 1
"""


class Due(NamedTuple):
    """An alert of which there is something to tell: that it is so, that it was and is over, or both."""

    alert_id: int
    user_id: int
    kind: str
    is_crossed: bool
    was_told: bool


def crossings_due() -> list[Due]:
    """List the alerts whose crossing, or return, was not told. Their number is that of customers who run low."""
    return [Due(*row) for row in read_prepared(_DUE, [])]


def count_unnotified(*, before: dt.datetime) -> int:
    """Count the crossings from before a moment that nobody was told of."""
    ((untold,),) = read_prepared(_UNTOLD, [before])
    return int(untold)


def unwatched(*, now: dt.datetime) -> list[int]:
    """Name the customers who have credits, or had some within a day, and would not be told when nothing is left."""
    return [user_id for (user_id,) in read_prepared(_UNWATCHED, [now - RECENTLY])]


@transaction.atomic
def watch_depletion(*, user_id: int, now: dt.datetime) -> None:
    """Make a customer's usual alerts and arm the one for nothing left. Repetition changes nothing."""
    make_default_alerts(user_id=user_id, now=now)
    alert = Alert.objects.of(user_id).select_for_update(no_key=True).get(kind=AlertKind.DEPLETED)
    if alert.is_enabled:
        watch_available(user_id=user_id, name=alert.threshold_name, below=LEAST_CREDITS)


def arm_returned(customers: Round, *, now: dt.datetime) -> None:
    """Arm again the thresholds of those whose available credits are back; the alert tells it next."""
    for (user_id,) in read_prepared(_BACK, [now]):
        with customers.turn(user_id):
            rearm(user_id=user_id)


def count_crossings() -> Counter[str]:
    """Count what would be told."""
    counted: Counter[str] = Counter()
    for due in crossings_due():
        counted[TYPE_BY_KIND[AlertKind(due.kind)]] += due.is_crossed
        counted[RECOVERED] += due.was_told
    ((back,),) = read_prepared(_TOLD_AND_BACK, [])
    counted[RECOVERED] += back
    return counted


def notify_crossings(customers: Round, *, now: dt.datetime) -> Counter[str]:
    """Tell what is due, each alert in a turn and a transaction of its own; counts the notices of each type.

    Customers who have failed in this round are left to the next.
    """
    told: Counter[str] = Counter()
    due = crossings_due()
    for first in range(0, len(due), ALERTS_AT_ONCE):
        batch = [one for one in due[first : first + ALERTS_AT_ONCE] if one.user_id not in customers.failed]
        forecasts = settled_forecasts_of({one.user_id for one in batch}, now=now, customers=customers)
        for one in batch:
            if one.user_id in customers.failed:
                continue
            with customers.turn(one.user_id):
                told.update(notify_crossing(alert_id=one.alert_id, forecast=forecasts[one.user_id], now=now))
    return told


@transaction.atomic
def notify_crossing(*, alert_id: int, forecast: Forecast, now: dt.datetime) -> list[str]:
    """Bring what a customer was told in line with what the ledger has noted; answers the types of notices.

    The alert's row is held: of several who do this one tells it.
    """
    alert = (
        Alert.objects.select_related("user").select_for_update(no_key=True, of=("self",)).filter(pk=alert_id).first()
    )
    if alert is None or not alert.is_enabled:
        return []
    thresholds = Threshold.objects.filter(user_id=alert.user_id, name=alert.threshold_name)
    crossed_at = thresholds.values_list("crossed_at", flat=True).first()
    if crossed_at == alert.crossed_at:
        return []
    told = []
    if alert.crossed_at is not None:
        told.append(notify_recovered(alert, crossed_at=alert.crossed_at, forecast=forecast, now=now))
    if crossed_at is not None:
        is_over = forecast.available >= alert.below
        told.append(notify_crossed(alert, crossed_at=crossed_at, forecast=forecast, is_over=is_over, now=now))
    alert.crossed_at = crossed_at
    alert.save(update_fields=["crossed_at"])
    return [type_ for type_ in told if type_ is not None]
