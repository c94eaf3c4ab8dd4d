"""Checks of the settings, and of what this machine stores for them."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator

from django.conf import settings
from django.core import checks
from django.utils import timezone

from accounts.selectors import deliveries_due
from config.doctor.finding import Finding
from ledger.providers.registry import webhooks_of
from ledger.services.auto_reload.buying import reloads_due
from ledger.services.payments.refunds import refunds_in_doubt
from ledger.services.payments.rounds import payments_in_doubt
from ledger.services.subscriptions.renewals import customers_due
from usage.services.alerts.crossings import count_unnotified
from usage.services.spool.files import configured_spool

_MOST_COUNTED = 10_000


def site_settings() -> Iterator[Finding]:
    """Check the settings by Django's own checks; in production also that none is only fit for a demo."""
    for message in checks.run_checks(include_deployment_checks=settings.IN_PRODUCTION, databases=["default"]):
        if message.is_serious(checks.WARNING) and not message.is_silenced():
            hint = f" {message.hint}" if message.hint else ""
            yield Finding("settings", f"{message.msg}{hint} ({message.id})")
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) and not (
        settings.TRUSTED_PROXIES or settings.TRUST_UNIX_SOCKET
    ):
        yield Finding(
            "settings",
            "BEHIND_TLS_PROXY is set but TRUSTED_PROXIES is not: all callers count as one address, the proxy's. "
            "Name the proxy's address there.",
        )


def provider_key(name: str) -> Iterator[Finding]:
    """Check that customers who pay by this provider pay real money."""
    if name != settings.PAYMENT_PROVIDER or not settings.IN_PRODUCTION:
        return
    problem = webhooks_of(name).key_problem()
    if problem is not None:
        yield Finding(f"{name}_key", problem)


def anchors() -> Iterator[Finding]:
    """Check that the ends of the ledgers are signed, and not by a published key."""
    if settings.IN_PRODUCTION and not settings.ANCHOR_KEYS:
        yield Finding(
            "anchors",
            "ANCHOR_KEYS is not set: reconcile cannot see a ledger whose end was cut off. Set it to 32 random "
            "characters or more, which the database and its backups do not have.",
        )


def spool() -> Iterator[Finding]:
    """Check that the spool of metered services is writable and empty."""
    spool = configured_spool()
    if spool is None:
        return
    if spool.folder.exists() and not (spool.folder.is_dir() and os.access(spool.folder, os.W_OK | os.X_OK)):
        yield Finding("spool", f"METERING_SPOOL, {spool.folder}, is no folder that may be written: mend that.")
    elif spool.files():
        yield Finding("spool", f"{spool.size()} bytes of requests wait in {spool.folder}: run manage.py replay_spool.")


def payments() -> Iterator[Finding]:
    """Check that no open payment or refund waits for settle_payments."""
    an_hour_ago = timezone.now() - dt.timedelta(hours=1)
    waiting = len(payments_in_doubt(now=an_hour_ago)) + len(refunds_in_doubt(now=an_hour_ago))
    if waiting:
        yield Finding(
            "payments", f"Nobody has asked for an hour about {waiting} open payments and refunds: run settle_payments."
        )


def alerts() -> Iterator[Finding]:
    """Check that no alert about low credits waits for send_alerts."""
    untold = count_unnotified(before=timezone.now() - dt.timedelta(hours=1))
    if untold:
        yield Finding("alerts", f"{untold} customers' alerts were not told for an hour: run send_alerts.")


def auto_reload() -> Iterator[Finding]:
    """Check that no due auto-reload waits for run_auto_reload."""
    an_hour_ago = timezone.now() - dt.timedelta(hours=1)
    waiting = len(reloads_due(now=an_hour_ago, crossed_by=an_hour_ago))
    if waiting and settings.AUTO_RELOAD_PRICE is not None:
        yield Finding("auto_reload", f"{waiting} customers were to buy credits an hour ago: run run_auto_reload.")


def webhooks() -> Iterator[Finding]:
    """Check that no due webhook delivery waits for deliver_webhooks."""
    waiting = deliveries_due(now=timezone.now() - dt.timedelta(hours=1))[:_MOST_COUNTED].count()
    if waiting:
        many = f"{waiting} or more" if waiting == _MOST_COUNTED else str(waiting)
        yield Finding("webhooks", f"{many} webhook deliveries were due an hour ago: run deliver_webhooks.")


def subscriptions() -> Iterator[Finding]:
    """Check that no due renewal waits for renew_subscriptions: balances are exact without it, lists are not."""
    waiting = len(customers_due(since=dt.timedelta(hours=1)))
    if waiting:
        yield Finding("subscriptions", f"{waiting} subscriptions were due an hour ago: run renew_subscriptions.")
