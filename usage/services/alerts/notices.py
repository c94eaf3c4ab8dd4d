"""The notices of alerts: the text of their emails and the data of their webhooks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from accounts.models import Notice
from accounts.services.notices import notify_customer
from config.values.credits import plain
from ledger.models import Grant, GrantTermsChange
from usage.models import Alert, AlertKind
from usage.services.forecasts.selectors import Forecast

LOW, DEPLETED, RUNWAY_LOW = "balance.low", "balance.depleted", "balance.runway_low"
RECOVERED, EXPIRING = "balance.recovered", "grant.expiring"
TYPE_BY_KIND = {
    AlertKind.BALANCE_BELOW: LOW,
    AlertKind.DEPLETED: DEPLETED,
    AlertKind.RUNWAY_BELOW: RUNWAY_LOW,
    AlertKind.GRANT_EXPIRING: EXPIRING,
}


def notify_crossed(
    alert: Alert, *, crossed_at: dt.datetime, forecast: Forecast, is_over: bool, now: dt.datetime
) -> str | None:
    """Send the notice that an alert's threshold was crossed; return its type, or None if it was sent before.

    A crossing that is over already is sent by webhook only, without an email.
    """
    type_ = TYPE_BY_KIND[AlertKind(alert.kind)]
    subject = {
        LOW: f"Low on credits: {_credits(forecast.available)} left",
        DEPLETED: "No credits left",
        RUNWAY_LOW: f"Your credits last {_days_left(forecast)}",
    }[type_]
    return _send_crossing(
        alert, type_, _key(alert, crossed_at), subject, crossed_at, forecast, is_over=is_over, now=now
    )


def notify_recovered(alert: Alert, *, crossed_at: dt.datetime, forecast: Forecast, now: dt.datetime) -> str | None:
    """Send the notice that an announced crossing is over; return its type, or None if it was sent before."""
    key = _key(alert, crossed_at)
    announced = Notice.objects.of(alert.user_id).filter(type=TYPE_BY_KIND[AlertKind(alert.kind)], key=key)
    was_emailed = announced.filter(subject__isnull=False).exists()
    subject = f"Credits are back: {_credits(forecast.available)} available"
    return _send_crossing(alert, RECOVERED, key, subject, crossed_at, forecast, is_over=not was_emailed, now=now)


def notify_expiring(alert: Alert, grant: Grant, *, available: Decimal, now: dt.datetime) -> str | None:
    """Send the notice that the rest of a grant will expire; return its type, or None if it was sent before."""
    expires_at = grant.expires_at or now
    expiring = min(grant.remaining, available)
    data = {
        "alert_id": alert.pk,
        "grant_id": grant.pk,
        "credits": plain(expiring),
        "expires_at": expires_at,
        "available": plain(available),
    }
    words = {
        "expiring": _credits(expiring),
        "grant_id": grant.pk,
        "expires_at": _minute(expires_at),
        "facts": [("Expiring", _credits(expiring)), ("Available", _credits(available))],
    }
    subject = f"{_credits(expiring)} expire on {expires_at.astimezone(dt.UTC):%Y-%m-%d}"
    return _send(alert, EXPIRING, _key_of_grant(grant), data, subject, words, now=now)


def _key_of_grant(grant: Grant) -> str:
    """Return the key of a grant's notice: another one once staff have let it end later, as expiring_grants.py looks."""
    changes = GrantTermsChange.objects.filter(user_id=grant.user_id, grant_id=grant.pk).order_by("-pk")
    latest = changes.values_list("pk", flat=True).first()
    return f"grant-{grant.pk}" if latest is None else f"grant-{grant.pk}-{latest}"


def _send_crossing(
    alert: Alert,
    type_: str,
    key: str,
    subject: str,
    crossed_at: dt.datetime,
    forecast: Forecast,
    *,
    is_over: bool,
    now: dt.datetime,
) -> str | None:
    days_left = forecast.days_left
    data = {
        "alert_id": alert.pk,
        "kind": alert.kind,
        "credits": None if alert.credits is None else plain(alert.credits),
        "days": alert.days,
        "crossed_at": crossed_at,
        "available": plain(forecast.available),
        "burn_rate_per_day": plain(forecast.burn_rate_per_day),
        "days_left": None if days_left is None else plain(days_left),
    }
    words = {
        "threshold": _threshold(alert),
        "since": _minute(crossed_at),
        "recovered": _recovered(alert, _minute(crossed_at)),
        "facts": _facts(alert, forecast),
    }
    return _send(alert, type_, key, data, None if is_over else subject, words, now=now)


def _send(
    alert: Alert,
    type_: str,
    key: str,
    data: Mapping[str, Any],
    subject: str | None,
    words: Mapping[str, Any],
    *,
    now: dt.datetime,
) -> str | None:
    body = None
    if not alert.by_email:
        subject = None
    if subject is not None:
        more = {"alert_id": alert.pk, "email": alert.user.email, "top_up_url": settings.TOP_UP_URL}
        body = render_to_string(f"email/{type_.replace('.', '_')}.txt", {**words, **more})
    is_news = notify_customer(
        user_id=alert.user_id, type=type_, key=key, data=data, subject=subject, body=body, now=now
    )
    return type_ if is_news else None


def _key(alert: Alert, crossed_at: dt.datetime) -> str:
    return f"alert-{alert.pk}:{crossed_at.astimezone(dt.UTC).isoformat()}"


def _facts(alert: Alert, forecast: Forecast) -> list[tuple[str, str]]:
    facts = [("Available", _credits(forecast.available))]
    if alert.kind != AlertKind.DEPLETED:
        facts.append(("Threshold", _threshold(alert)))
    facts.append(("Burn rate", f"{_credits(forecast.burn_rate_per_day)} a day"))
    if forecast.days_left is not None:
        facts.append(("Days left", _number(forecast.days_left)))
    return facts


def _threshold(alert: Alert) -> str:
    return _days(Decimal(alert.days)) if alert.days is not None else _credits(alert.below)


def _recovered(alert: Alert, since: str) -> str:
    if alert.kind == AlertKind.DEPLETED:
        return f"You have credits again. They were used up on {since} UTC."
    if alert.kind == AlertKind.RUNWAY_BELOW:
        return f"Your credits last longer than {_threshold(alert)} again. They did not since {since} UTC."
    return f"Your available credits are back at {_threshold(alert)} or above. They fell below on {since} UTC."


def _days_left(forecast: Forecast) -> str:
    return "no more than a day" if (forecast.days_left or 0) < 1 else f"about {_days(forecast.days_left or Decimal(0))}"


def _days(days: Decimal) -> str:
    return f"{_number(days)} {'day' if days == 1 else 'days'}"


def _credits(credits: Decimal) -> str:
    return f"{_number(credits)} {settings.CREDIT_UNIT.lower()}"


def _number(value: Decimal) -> str:
    return f"{plain(value):,f}"


def _minute(at: dt.datetime) -> str:
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
