"""`GET /metrics` for Prometheus: from this machine, or with METRICS_TOKEN."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django import db
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views import View
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from accounts.selectors import deliveries_due, deliveries_given_up, emails_due, staff_without_second_factor
from config.http.answers import error_answer
from config.http.operators import may_see_internals
from config.registry import REGISTRY
from ledger.models import (
    AdjustmentRequest,
    AdjustmentState,
    DisputeStatus,
    EntryDispute,
    Payment,
    PaymentDispute,
    RefundState,
    StaffRefund,
)
from usage.selectors import last_full_audit, log_months, open_findings

SCRAPE_MILLISECONDS = 2_000
MOST_COUNTED = 10_000
FAILED_WITHIN_HOURS = 48  # a delivery is tried for up to 24 hours


class MetricsView(View):
    """The metrics of all processes, and a few that each scrape reads from the database."""

    http_method_names = ("get", "head")

    def get(self, request: HttpRequest) -> HttpResponse:
        if not may_see_internals(request):
            return error_answer(403)
        body = generate_latest(_processes()) + generate_latest(_State())
        return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


def _processes() -> CollectorRegistry:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return REGISTRY
    for file in Path(folder).glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdigit() and not _is_alive(int(pid)):
            mark_process_dead(int(pid), folder)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return registry


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 only checks
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class _State(Collector):
    """Metrics from the database; if it does not respond in time, only that is reported."""

    def collect(self) -> Iterator[Metric]:
        gauges: list[Metric] = []
        with suppress(db.Error), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {SCRAPE_MILLISECONDS}")
                cursor.execute(f"SET LOCAL lock_timeout = {SCRAPE_MILLISECONDS // 2}")
            gauges = list(_gauges())
        yield _gauge("tollbook_database_up", "Whether the database answered this scrape.", float(bool(gauges)))
        yield from gauges


def _gauges() -> Iterator[Metric]:
    now = timezone.now()
    audit = last_full_audit()
    if audit is not None:
        age = (now - audit.finished_at).total_seconds()
        yield _gauge("tollbook_last_audit_age_seconds", "Time since the last full reconcile ended.", age)
        yield _gauge("tollbook_last_audit_findings", "What the last full reconcile found, and left.", audit.findings)
    yield _gauge(
        "tollbook_findings_open",
        f"Findings of reconcile that nobody has closed; at most {MOST_COUNTED} are counted.",
        open_findings()[:MOST_COUNTED].count(),
    )
    this_month = now.date().replace(day=1)
    ahead = sum(month > this_month for month in log_months())
    yield _gauge("tollbook_log_months_ahead", "Partitions of the request log for months to come.", ahead)
    yield _gauge(
        "tollbook_expired_holds_unsettled",
        f"Holds that have expired and wait for the next charge or expire_holds; at most {MOST_COUNTED} are counted.",
        _expired_holds(),
    )
    yield _gauge(
        "tollbook_staff_without_second_factor",
        f"Active staff who have no second factor; at most {MOST_COUNTED} are counted.",
        staff_without_second_factor()[:MOST_COUNTED].count(),
    )
    yield from _notices(now)
    yield from _payments()
    yield from _disputes(now)
    yield _gauge(
        "tollbook_adjustments_pending",
        f"Adjustments that wait for a second person; at most {MOST_COUNTED} are counted.",
        AdjustmentRequest.objects.filter(state=AdjustmentState.PENDING)[:MOST_COUNTED].count(),
    )


def _notices(now: dt.datetime) -> Iterator[Metric]:
    yield _gauge(
        "tollbook_webhook_deliveries_due",
        f"Webhook deliveries that wait for deliver_webhooks; at most {MOST_COUNTED} are counted.",
        deliveries_due(now=now)[:MOST_COUNTED].count(),
    )
    yield _gauge(
        "tollbook_webhook_deliveries_failed",
        f"Webhook deliveries begun in the last {FAILED_WITHIN_HOURS} hours that failed for good; at most "
        f"{MOST_COUNTED} are counted.",
        deliveries_given_up(since=now - dt.timedelta(hours=FAILED_WITHIN_HOURS))[:MOST_COUNTED].count(),
    )
    yield _gauge(
        "tollbook_notice_emails_due",
        f"Emails to customers that wait to be sent; at most {MOST_COUNTED} are counted.",
        emails_due(now=now)[:MOST_COUNTED].count(),
    )


def _disputes(now: dt.datetime) -> Iterator[Metric]:
    disputes = EntryDispute.objects.not_closed()
    yield _gauge(
        "tollbook_entry_disputes_open",
        f"Disputes of debits that are not closed; at most {MOST_COUNTED} are counted.",
        disputes[:MOST_COUNTED].count(),
    )
    oldest = disputes.order_by("created_at").values_list("created_at", flat=True).first()
    yield _gauge(
        "tollbook_entry_dispute_oldest_age_seconds",
        "Age of the oldest dispute of a debit that is not closed; 0: none is.",
        0.0 if oldest is None else (now - oldest).total_seconds(),
    )


def _payments() -> Iterator[Metric]:
    disputed = PaymentDispute.objects.filter(status=DisputeStatus.OPEN)
    yield _gauge(
        "tollbook_disputes_open",
        f"Disputes of payments that are not decided; at most {MOST_COUNTED} are counted.",
        disputed[:MOST_COUNTED].count(),
    )
    yield _gauge(
        "tollbook_payments_owing",
        f"Payments whose credits are still to be taken back; at most {MOST_COUNTED} are counted.",
        Payment.objects.filter(credits_owed__gt=0)[:MOST_COUNTED].count(),
    )
    yield _gauge(
        "tollbook_refunds_under_way",
        f"Refunds by staff that the provider has not answered; at most {MOST_COUNTED} are counted.",
        StaffRefund.objects.filter(state=RefundState.ASKED)[:MOST_COUNTED].count(),
    )


def _expired_holds() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM ledger_hold WHERE status = 'open' AND expires_at <= clock_timestamp()"
            " LIMIT %s) expired",
            [MOST_COUNTED],
        )
        (count,) = cursor.fetchone()
    return int(count)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], value)
    return family
