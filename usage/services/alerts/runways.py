"""Notify customers that their credits last fewer days than their alert's threshold, and that they last longer again."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal

from django.db import transaction

from config.rounds import Round
from usage.models import Alert, AlertKind
from usage.services.alerts.notices import RECOVERED, RUNWAY_LOW, notify_crossed, notify_recovered
from usage.services.forecasts.outlook import settled_forecasts_of
from usage.services.forecasts.selectors import Forecast, forecasts_of

ALERTS_AT_ONCE = 500
_A_TENTH_MORE, _A_DAY_MORE = Decimal("1.1"), 1


def needs_notice(alert: Alert, forecast: Forecast) -> bool:
    """Return whether a runway has become short, or long again, since the last notice.

    It is short below the alert's days, and long again only from a tenth and at least a day above them, so that a rate
    that wavers around the threshold is announced once. Without usage no runway becomes short.
    """
    days = Decimal(alert.days or 0)
    left = forecast.days_left
    if alert.crossed_at is None:
        return forecast.burn_rate_per_day > 0 and left is not None and left < days
    enough = max(days * _A_TENTH_MORE, days + _A_DAY_MORE)
    return forecast.available > 0 and (left is None or left >= enough)


def notify_runways(customers: Round, *, now: dt.datetime) -> Counter[str]:
    """Send the notices that are due, each alert in a turn and a transaction of its own, and return their number.

    Only customers with such an alert are read, some hundreds in one statement.
    """
    sent: Counter[str] = Counter()

    def settled(user_ids: Collection[int]) -> Mapping[int, Forecast]:
        return settled_forecasts_of(user_ids, now=now, customers=customers)

    for alert, forecast in list(_changed(settled)):
        if alert.user_id not in customers.failed:
            with customers.turn(alert.user_id):
                sent.update(_notify(alert_id=alert.pk, forecast=forecast, now=now))
    return sent


def count_runways(*, now: dt.datetime) -> Counter[str]:
    """Count the notices that are due."""
    changed = _changed(lambda user_ids: forecasts_of(user_ids, now=now))
    return Counter(RUNWAY_LOW if alert.crossed_at is None else RECOVERED for alert, _ in changed)


Forecasting = Callable[[Collection[int]], Mapping[int, Forecast]]


def _changed(forecasting: Forecasting) -> Iterator[tuple[Alert, Forecast]]:
    wanted = Alert.objects.filter(kind=AlertKind.RUNWAY_BELOW, is_enabled=True, user__is_active=True).order_by("pk")
    last = 0
    while batch := list(wanted.filter(pk__gt=last)[:ALERTS_AT_ONCE]):
        forecasts = forecasting({alert.user_id for alert in batch})
        for alert in batch:
            forecast = forecasts.get(alert.user_id)  # none, if they could not be settled
            if forecast is not None and needs_notice(alert, forecast):
                yield alert, forecast
        last = batch[-1].pk


@transaction.atomic
def _notify(*, alert_id: int, forecast: Forecast, now: dt.datetime) -> list[str]:
    alert = (
        Alert.objects.select_related("user").select_for_update(no_key=True, of=("self",)).filter(pk=alert_id).first()
    )
    if alert is None or not alert.is_enabled or not needs_notice(alert, forecast):
        return []
    if alert.crossed_at is None:
        alert.crossed_at = now
        sent = notify_crossed(alert, crossed_at=now, forecast=forecast, is_over=False, now=now)
    else:
        sent = notify_recovered(alert, crossed_at=alert.crossed_at, forecast=forecast, now=now)
        alert.crossed_at = None
    alert.save(update_fields=["crossed_at"])
    return [] if sent is None else [sent]
