"""Alerts as customers set them: made, changed, switched off, removed; each with its threshold in the ledger.

A customer's alerts are made one after another: whoever makes one holds the customer's row first. Whoever changes one
holds that alert; the balance, for its threshold, comes last.
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
    """Give a customer's alerts, newest first; those that everybody has are made when they are first looked for."""
    make_default_alerts(user_id=user_id, now=now)
    return Alert.objects.of(user_id).newest_first()


def make_default_alerts(*, user_id: int, now: dt.datetime) -> None:
    """Make the alerts that everybody has, if they are not there: nothing left, and a grant that expires in a week.

    The first is armed by `send_alerts`, once there is something that can come to an end.
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
    """Make an alert on fewer available credits, or fewer days of credit, than `threshold`.

    If it is so already, that is told.

    :raises AlertExists: if the customer has the same
    :raises TooManyAlerts: if they have as many as anybody may have
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
    """Change an alert's `credits` or `days`, `is_enabled` or `by_email`; what is not named stays.

    Another threshold, or switching it on or off, begins anew: what was told before is not taken back.

    :raises AlertNotFound: if the customer has no such alert
    :raises AlertRefused: naming a threshold that this kind does not have
    :raises AlertExists: if another of theirs is the same then
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
    :raises AlertStays: if it is one that everybody has
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
    """Bring the ledger's threshold in line. That of `depleted` is set by `send_alerts` alone, and taken away here."""
    if alert.kind == AlertKind.BALANCE_BELOW or (alert.kind == AlertKind.DEPLETED and not alert.is_enabled):
        below = alert.below if alert.is_enabled else None
        watch_available(user_id=alert.user_id, name=alert.threshold_name, below=below)
