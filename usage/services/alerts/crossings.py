"""Notify customers that their available credits fell below a threshold, and that they are back.

The move itself records a crossing (docs/decisions/0032). The alert records the crossing that was last announced; where
the two differ, a notice is due. So each crossing is announced once, however many runs look and whenever one is killed.
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
_UNNOTIFIED = f"""
    SELECT count(*) FROM ledger_threshold t JOIN usage_alert a ON a.user_id = t.user_id AND t.name = {_NAME}
    WHERE t.name LIKE 'alert-%%' AND t.crossed_at < %s AND a.is_enabled AND a.crossed_at IS DISTINCT FROM t.crossed_at
"""
# Customers whose thresholds may be armed again: `rearm` decides, once expired grants and holds are settled.
_BACK = """
    SELECT DISTINCT t.user_id FROM ledger_threshold t JOIN ledger_balance b ON b.user_id = t.user_id
    WHERE t.name LIKE 'alert-%%' AND t.crossed_at IS NOT NULL
        AND (b.balance - b.reserved >= t.below OR b.next_expiry_at <= %s)
    ORDER BY 1
"""
_NOTIFIED_AND_BACK = f"""
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


class DueAlert(NamedTuple):
    """An alert with a notice due: that its threshold is crossed, that an announced crossing is over, or both."""

    alert_id: int
    user_id: int
    kind: str
    is_crossed: bool
    was_notified: bool


def crossings_due() -> list[DueAlert]:
    """List the alerts whose crossing, or return, was not announced. They are as many as customers who run low."""
    return [DueAlert(*row) for row in read_prepared(_DUE, [])]


def count_unnotified(*, before: dt.datetime) -> int:
    """Count the crossings from before a time that were not announced."""
    ((unnotified,),) = read_prepared(_UNNOTIFIED, [before])
    return int(unnotified)


def unwatched(*, now: dt.datetime) -> list[int]:
    """Return the ids of customers who have, or had within a day, credits and no armed alert for depletion."""
    return [user_id for (user_id,) in read_prepared(_UNWATCHED, [now - RECENTLY])]


@transaction.atomic
def watch_depletion(*, user_id: int, now: dt.datetime) -> None:
    """Create a customer's usual alerts and arm the one for depletion. Repetition changes nothing."""
    make_default_alerts(user_id=user_id, now=now)
    alert = Alert.objects.of(user_id).select_for_update(no_key=True).get(kind=AlertKind.DEPLETED)
    if alert.is_enabled:
        watch_available(user_id=user_id, name=alert.threshold_name, below=LEAST_CREDITS)


def arm_returned(customers: Round, *, now: dt.datetime) -> None:
    """Arm the thresholds of customers whose available credits are back; the notice follows."""
    for (user_id,) in read_prepared(_BACK, [now]):
        with customers.turn(user_id):
            rearm(user_id=user_id)


def count_crossings() -> Counter[str]:
    """Count the notices that are due, by type."""
    counted: Counter[str] = Counter()
    for due in crossings_due():
        counted[TYPE_BY_KIND[AlertKind(due.kind)]] += due.is_crossed
        counted[RECOVERED] += due.was_notified
    ((back,),) = read_prepared(_NOTIFIED_AND_BACK, [])
    counted[RECOVERED] += back
    return counted


def notify_crossings(customers: Round, *, now: dt.datetime) -> Counter[str]:
    """Send the notices that are due, each alert in a turn and a transaction of its own, and count them by type.

    Customers whose turn failed in this round are left to the next.
    """
    sent: Counter[str] = Counter()
    due = crossings_due()
    for first in range(0, len(due), ALERTS_AT_ONCE):
        batch = [one for one in due[first : first + ALERTS_AT_ONCE] if one.user_id not in customers.failed]
        forecasts = settled_forecasts_of({one.user_id for one in batch}, now=now, customers=customers)
        for one in batch:
            if one.user_id in customers.failed:
                continue
            with customers.turn(one.user_id):
                sent.update(notify_crossing(alert_id=one.alert_id, forecast=forecasts[one.user_id], now=now))
    return sent


@transaction.atomic
def notify_crossing(*, alert_id: int, forecast: Forecast, now: dt.datetime) -> list[str]:
    """Send the notices of an alert whose crossing the ledger has recorded, and return their types.

    The alert's row is locked, so of several concurrent calls one sends them.
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
    sent = []
    if alert.crossed_at is not None:
        sent.append(notify_recovered(alert, crossed_at=alert.crossed_at, forecast=forecast, now=now))
    if crossed_at is not None:
        is_over = forecast.available >= alert.below
        sent.append(notify_crossed(alert, crossed_at=crossed_at, forecast=forecast, is_over=is_over, now=now))
    alert.crossed_at = crossed_at
    alert.save(update_fields=["crossed_at"])
    return [type_ for type_ in sent if type_ is not None]
