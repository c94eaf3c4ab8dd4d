"""Create, change, switch off and remove customers' alerts, each with its threshold in the ledger.

A customer's alerts are created one after another: creating one locks the customer's row first. Changing one locks that
alert. The balance, for its threshold, is locked last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import User
from ledger.services.thresholds import watch_available
from usage.errors import AlertExists, AlertNotFound, AlertRefused, AlertStays, TooManyAlerts
from usage.models import Alert, AlertKind
from usage.models.alert import DEFAULT_KINDS, WATCHED_KINDS, AlertQuerySet

MOST_ALERTS = 20
USUAL_DAYS_BEFORE_EXPIRY = 7
_UNITS = {
    AlertKind.BALANCE_BELOW: "credits",
    AlertKind.RUNWAY_BELOW: "days",
    AlertKind.GRANT_EXPIRING: "days",
}


def alerts_of(*, user_id: int, now: dt.datetime) -> AlertQuerySet:
    """Return a customer's alerts, newest first. The usual alerts are created when they are first read."""
    make_default_alerts(user_id=user_id, now=now)
    return Alert.objects.of(user_id).newest_first()


def make_default_alerts(*, user_id: int, now: dt.datetime) -> None:
    """Create the customer's missing usual alerts: no credits left, and a grant that expires within a week.

    `send_alerts` arms the first one, once the customer has had credits.
    """
    wanted = dict.fromkeys(DEFAULT_KINDS) | {AlertKind.GRANT_EXPIRING: USUAL_DAYS_BEFORE_EXPIRY}
    found = set(Alert.objects.of(user_id).filter(kind__in=DEFAULT_KINDS).values_list("kind", flat=True))
    missing = [
        Alert(user_id=user_id, kind=kind, days=days, created_at=now)
        for kind, days in wanted.items()
        if kind not in found
    ]
    if missing:
        Alert.objects.bulk_create(missing, ignore_conflicts=True)


@transaction.atomic
def create_alert(
    *,
    user_id: int,
    kind: AlertKind,
    threshold: Decimal | int,
    now: dt.datetime,
    is_enabled: bool = True,
    by_email: bool = True,
) -> Alert:
    """Create an alert on fewer available credits, or fewer days of credit, than `threshold`.

    If the condition holds already, the customer is notified.

    :raises AlertExists: if the customer has the same alert
    :raises TooManyAlerts: if the customer has MOST_ALERTS already
    """
    User.objects.select_for_update(no_key=True).get(pk=user_id)
    make_default_alerts(user_id=user_id, now=now)
    alert = Alert(user_id=user_id, kind=kind, is_enabled=is_enabled, by_email=by_email, created_at=now)
    setattr(alert, _UNITS[kind], threshold)
    _save(alert)
    if Alert.objects.of(user_id).count() > MOST_ALERTS:
        raise TooManyAlerts(limit=MOST_ALERTS)
    _watch(alert)
    return alert


@transaction.atomic
def change_alert(*, user_id: int, alert_id: int, changes: Mapping[str, Any]) -> Alert:
    """Change an alert's `credits` or `days`, `is_enabled` or `by_email`; fields not named stay.

    Another threshold, or switching it on or off, starts over: an earlier notice is not taken back.

    :raises AlertNotFound: if the customer has no such alert
    :raises AlertRefused: naming a threshold that this kind does not have
    :raises AlertExists: if it would equal another of the customer's alerts
    """
    alert = Alert.objects.of(user_id).filter(pk=alert_id).select_for_update(no_key=True).first()
    if alert is None:
        raise AlertNotFound
    unit = _UNITS.get(AlertKind(alert.kind))
    for name in ("credits", "days"):
        if name in changes and name != unit:
            raise AlertRefused(name, f"An alert of the kind {alert.kind} has no {name}.")
    before = (alert.credits, alert.days, alert.is_enabled)
    for name, value in changes.items():
        setattr(alert, name, value)
    if (alert.credits, alert.days, alert.is_enabled) != before:
        alert.crossed_at = None
        _save(alert)
        _watch(alert)
    else:
        alert.save(update_fields=["by_email"])
    return alert


@transaction.atomic
def remove_alert(*, user_id: int, alert_id: int) -> None:
    """Remove an alert.

    :raises AlertNotFound: if the customer has no such alert
    :raises AlertStays: if it is one of the usual alerts
    """
    alert = Alert.objects.of(user_id).filter(pk=alert_id).select_for_update().first()
    if alert is None:
        raise AlertNotFound
    if alert.kind in DEFAULT_KINDS:
        raise AlertStays
    if alert.kind in WATCHED_KINDS:
        watch_available(user_id=user_id, name=alert.threshold_name, below=None)
    alert.delete()


def _save(alert: Alert) -> None:
    try:
        with transaction.atomic():
            alert.save()
    except IntegrityError as error:
        if "alert_is_there_once" in str(error):
            raise AlertExists from error
        raise


def _watch(alert: Alert) -> None:
    """Update the ledger's threshold. That of `depleted` is set only by `send_alerts`, and removed here."""
    if alert.kind == AlertKind.BALANCE_BELOW or (alert.kind == AlertKind.DEPLETED and not alert.is_enabled):
        below = alert.below if alert.is_enabled else None
        watch_available(user_id=alert.user_id, name=alert.threshold_name, below=below)
