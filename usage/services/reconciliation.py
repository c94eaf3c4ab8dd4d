"""Reconciliation of usage: the sums against the log, and the log against the ledger, request by request."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import Error, connection, transaction

from config.db.calls import call
from config.db.prepared import is_connection_lost
from config.db.snapshot import snapshot
from config.rounds import Round
from config.values.json import exact_json
from ledger.services.adjustments.checks import ADJUSTMENT_CHECKS
from ledger.services.auto_reload.checks import RELOAD_CHECKS
from ledger.services.payments.checks import PAYMENT_CHECKS
from ledger.services.reconciliation.checks import LEDGER_CHECKS, Check, Finding, Scope, ledger_sizes
from ledger.services.reconciliation.grant_checks import GRANT_CHECKS
from ledger.services.reconciliation.reversal_checks import REVERSAL_CHECKS
from ledger.services.subscriptions.checks import SUBSCRIPTION_CHECKS
from usage.errors import LogIsGone
from usage.models import ReconciliationRun
from usage.models.outcomes import IS_REJECTED
from usage.selectors import log_months, months_gone
from usage.services.alerts.checks import ALERT_CHECKS
from usage.services.figures.checks import FIGURE_CHECKS

FINDINGS_KEPT = 100
DAY = dt.timedelta(days=1)

# Only days whose month of log is kept, and kept whole, can be compared with it: a late import may have started a
# dropped month again.
_DROPPED_MONTHS = "SELECT to_char(month, 'YYYY_MM') FROM usage_droppedmonth"
_KEPT_MONTHS = f"""
    SELECT substring(c.relname FROM '[0-9]{{4}}_[0-9]{{2}}$') AS month
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'usage_requestlog'::regclass
    EXCEPT {_DROPPED_MONTHS}
"""

_OF_SCOPE = """(%(user)s::bigint IS NULL OR user_id = %(user)s)
    AND (%(since)s::timestamptz IS NULL OR occurred_at >= date_trunc('day', %(since)s::timestamptz, 'UTC'))"""

USAGE_CHECKS = (
    Check(
        "sums_are_the_log",
        f"""SELECT coalesce(t.user_id, d.user_id) AS user_id, coalesce(t.day, d.day) AS day,
                coalesce(t.endpoint, d.endpoint) AS endpoint,
                coalesce(d.successful + d.failed + d.rejected, 0) AS summed_requests,
                coalesce(t.requests, 0) AS requests,
                coalesce(d.credits, 0) AS summed_credits, coalesce(t.credits, 0) AS credits
            FROM (
                SELECT user_id, day, endpoint, sum(request)::bigint AS requests,
                    count(*) FILTER (WHERE status < 400) AS successful,
                    count(*) FILTER (WHERE {IS_REJECTED}) AS rejected,
                    sum(credits) AS credits
                FROM (
                    SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, endpoint, 1 AS request, status,
                        credits
                    FROM usage_requestlog WHERE {_OF_SCOPE}
                    UNION ALL
                    SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date, endpoint, 0, NULL, -credits
                    FROM usage_refund WHERE {_OF_SCOPE}
                ) log_less_refunds
                GROUP BY 1, 2, 3
            ) t
            FULL JOIN (
                SELECT * FROM usage_dailyusage
                WHERE (%(user)s::bigint IS NULL OR user_id = %(user)s)
                    AND (%(since)s::timestamptz IS NULL OR day >= (%(since)s::timestamptz AT TIME ZONE 'UTC')::date)
                    AND to_char(day, 'YYYY_MM') IN ({_KEPT_MONTHS})
            ) d ON (t.user_id, t.day, t.endpoint) = (d.user_id, d.day, d.endpoint)
            WHERE (d.successful, d.successful + d.failed + d.rejected, d.rejected, d.credits)
                    IS DISTINCT FROM (t.successful, t.requests, t.rejected, t.credits)
                AND to_char(coalesce(t.day, d.day), 'YYYY_MM') NOT IN ({_DROPPED_MONTHS})""",
        "On {day}, {endpoint} is summed as {summed_requests} requests and {summed_credits} credits, "
        "but the log has {requests} and {credits}.",
    ),
    Check(
        "debit_is_its_requests",
        """SELECT e.user_id, e.id AS entry_id, -e.amount AS debited, coalesce(sum(r.credits), 0) AS logged
            FROM ledger_entry e LEFT JOIN usage_requestlog r ON r.entry_id = e.id AND r.user_id = e.user_id
            WHERE e.reason IN ('usage', 'capture')
                AND (%(user)s::bigint IS NULL OR e.user_id = %(user)s)
                AND (%(since)s::timestamptz IS NULL OR e.created_at >= %(since)s)
            GROUP BY e.id HAVING -e.amount <> coalesce(sum(r.credits), 0)
                -- Some of its requests may have been dropped: what is left of them can only cost less.
                AND (-e.amount < coalesce(sum(r.credits), 0) OR NOT EXISTS (
                    SELECT FROM usage_droppedmonth m WHERE e.id BETWEEN m.first_entry_id AND m.last_entry_id))""",
        "Entry {entry_id} debited {debited} credits, but its requests cost {logged}.",
    ),
    Check(
        "request_has_its_debit",
        """SELECT r.user_id, r.id AS request_id, r.entry_id, r.credits
            FROM usage_requestlog r LEFT JOIN ledger_entry e ON e.id = r.entry_id AND e.user_id = r.user_id
                AND e.reason IN ('usage', 'capture')
            WHERE r.entry_id IS NOT NULL AND e.id IS NULL
                AND (%(user)s::bigint IS NULL OR r.user_id = %(user)s)
                AND (%(since)s::timestamptz IS NULL OR r.recorded_at >= %(since)s)""",
        "Request {request_id} cost {credits} credits by entry {entry_id}, which is no debit of this customer.",
    ),
    Check(
        "refund_is_in_the_statistics",
        """SELECT coalesce(e.user_id, f.user_id) AS user_id, coalesce(e.id, f.entry_id) AS entry_id,
                coalesce(e.amount, 0) AS amount, coalesce(f.credits, 0) AS lowered
            FROM (SELECT * FROM ledger_entry WHERE reason IN ('refund', 'reversal')) e
            FULL JOIN usage_refund f ON f.entry_id = e.id
            WHERE (%(user)s::bigint IS NULL OR coalesce(e.user_id, f.user_id) = %(user)s)
                AND (%(since)s::timestamptz IS NULL OR coalesce(e.created_at, f.created_at) >= %(since)s)
                AND (e.user_id, e.amount, e.reverses_id) IS DISTINCT FROM (f.user_id, f.credits, f.charge_id)""",
        "Entry {entry_id} gave back {amount} credits, but the statistics were lowered by {lowered}.",
    ),
    Check(
        "usage_is_the_ledger",
        """SELECT coalesce(l.user_id, d.user_id) AS user_id, coalesce(l.spent, 0) AS spent, coalesce(d.used, 0) AS used
            FROM (
                SELECT user_id, -sum(amount) AS spent FROM ledger_entry
                WHERE reason IN ('usage', 'capture', 'refund', 'reversal')
                    AND (%(user)s::bigint IS NULL OR user_id = %(user)s)
                GROUP BY user_id
            ) l
            FULL JOIN (
                SELECT user_id, sum(credits) AS used FROM usage_dailyusage
                WHERE %(user)s::bigint IS NULL OR user_id = %(user)s GROUP BY user_id
            ) d ON l.user_id = d.user_id
            WHERE coalesce(l.spent, 0) <> coalesce(d.used, 0)""",
        "The ledger says {spent} credits were spent on usage, the statistics say {used}.",
    ),
    Check(
        "spending_of_a_key_is_the_log",
        """SELECT s.user_id, s.api_key_id, s.began_on, s.credits AS counted,
                coalesce(sum(r.credits - coalesce(f.credits, 0)), 0) AS logged
            FROM (
                SELECT user_id, api_key_id, began_on, credits FROM usage_keyspending
                UNION ALL
                SELECT user_id, api_key_id, next_on, next_credits FROM usage_keyspending WHERE next_on IS NOT NULL
            ) s
            JOIN accounts_apikey k ON coalesce(k.original_id, k.id) = s.api_key_id
            LEFT JOIN usage_requestlog r ON r.user_id = s.user_id AND r.api_key_id = k.id
                AND r.occurred_at >= s.began_on::timestamp AT TIME ZONE 'UTC'
            LEFT JOIN (
                SELECT charge_id, occurred_at, sum(credits) AS credits FROM usage_refund
                WHERE %(user)s::bigint IS NULL OR user_id = %(user)s GROUP BY charge_id, occurred_at
            ) f ON f.charge_id = r.entry_id AND f.occurred_at = r.occurred_at
            WHERE (%(user)s::bigint IS NULL OR s.user_id = %(user)s)
                AND NOT EXISTS (
                    SELECT FROM usage_droppedmonth WHERE month >= date_trunc('month', s.began_on::timestamp))
            GROUP BY s.user_id, s.api_key_id, s.began_on, s.credits
            HAVING s.credits <> coalesce(sum(r.credits - coalesce(f.credits, 0)), 0)""",
        "By key {api_key_id} {counted} credits are counted as spent since {began_on}, but the log has {logged}.",
    ),
)

ALL_CHECKS = (
    *LEDGER_CHECKS, *GRANT_CHECKS, *REVERSAL_CHECKS, *ADJUSTMENT_CHECKS, *PAYMENT_CHECKS, *RELOAD_CHECKS,
    *SUBSCRIPTION_CHECKS, *USAGE_CHECKS, *ALERT_CHECKS, *FIGURE_CHECKS,
)  # fmt: skip


def reconcile(
    scope: Scope, *, on_check: Callable[[int], None] = lambda _done: None
) -> tuple[dict[str, int], list[Finding]]:
    """Run every check on one snapshot, and return the sizes of what was read and the findings.

    `on_check` is called after each check, with how many are done.
    """
    findings: list[Finding] = []
    with snapshot():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
        checked = ledger_sizes(scope) | _usage_sizes(scope)
        for done, check in enumerate(ALL_CHECKS, start=1):
            findings += check.run(scope)
            on_check(done)
    return checked | {"checks": len(ALL_CHECKS)}, findings


def remember_run(
    scope: Scope,
    checked: Mapping[str, int],
    findings: Sequence[Finding],
    *,
    started_at: dt.datetime,
    finished_at: dt.datetime,
) -> ReconciliationRun:
    """Store what a run has found, for the health check and the back office."""
    first = [finding.as_dict() for finding in findings[:FINDINGS_KEPT]]
    return ReconciliationRun.objects.create(
        started_at=started_at,
        finished_at=finished_at,
        is_full=scope == Scope(),
        findings=len(findings),
        report=json.loads(exact_json({"checked": checked, "findings": first})),
    )


def _usage_sizes(scope: Scope) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT
                (SELECT count(*) FROM usage_requestlog WHERE (%(user)s::bigint IS NULL OR user_id = %(user)s)
                    AND (%(since)s::timestamptz IS NULL OR recorded_at >= %(since)s)),
                (SELECT count(*) FROM usage_dailyusage WHERE %(user)s::bigint IS NULL OR user_id = %(user)s)""",
            scope.parameters(),
        )
        requests, sums = cursor.fetchone()
    return {"requests": requests, "daily_sums": sums}


def mend_sums(findings: Sequence[Finding], customers: Round) -> int:
    """Rebuild the daily sums that were found wrong from the log, and return the number of changed rows.

    Each customer's days are a turn; repetition changes nothing more.
    """
    days_of: dict[int | None, set[dt.date]] = defaultdict(set)
    for finding in findings:
        days_of[finding.user_id].add(finding.facts["day"])
    changed = 0
    for user_id, days in days_of.items():
        with customers.turn(user_id):
            for day in sorted(days):
                changed += rebuild_sums(user_id=user_id, first_day=day, day_after=day + DAY)
    return changed


def rebuild_day(*, user_id: int | None, day: dt.date, customers: Round, dry_run: bool = False) -> int:
    """Rebuild the sums of one day from the log, and return the number that were wrong.

    Without `user_id`, all customers at once; if that fails, each of them in a turn of their own.
    """
    asked: dict[str, Any] = {"first_day": day, "day_after": day + DAY, "dry_run": dry_run}
    changed = 0
    if user_id is not None:
        with customers.turn(user_id):
            changed += rebuild_sums(user_id=user_id, **asked)
        return changed
    try:
        return rebuild_sums(user_id=None, **asked)
    except Error as error:
        if is_connection_lost(error):
            raise
    return sum(rebuild_day(user_id=each, day=day, customers=customers, dry_run=dry_run) for each in _customers_on(day))


def _customers_on(day: dt.date) -> list[int]:
    """Return the ids of the customers who have requests or sums on a day."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT user_id FROM usage_requestlog WHERE occurred_at >= %s AND occurred_at < %s
            UNION SELECT user_id FROM usage_dailyusage WHERE day = %s ORDER BY 1""",
            [_midnight(day), _midnight(day + DAY), day],
        )
        return [user_id for (user_id,) in cursor.fetchall()]


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def rebuild_sums(*, user_id: int | None, first_day: dt.date, day_after: dt.date, dry_run: bool = False) -> int:
    """Rebuild the daily sums of `[first_day, day_after)` from the log, and return the number that were wrong.

    Repetition changes nothing more, and a dry run nothing at all.

    :raises LogIsGone: if some of the log of these days was dropped; then nothing is changed
    """
    with transaction.atomic():
        outcome = call("usage_rebuild_sums", p_user_id=user_id, p_from=first_day, p_to=day_after)
        transaction.set_rollback(dry_run)
    if outcome.months_gone:
        raise LogIsGone(outcome.months_gone)
    changed: int = outcome.changed
    return changed


def days_to_rebuild(*, user_id: int | None, first_day: dt.date, day_after: dt.date) -> list[dt.date]:
    """Return the days of `[first_day, day_after)` for which the log may have rows.

    :raises LogIsGone: if some of their log was dropped
    """
    gone = months_gone(user_id=user_id, first_day=first_day, day_after=day_after)
    if gone:
        raise LogIsGone(gone)
    kept = set(log_months())
    days = (first_day + dt.timedelta(days=n) for n in range((day_after - first_day).days))
    return [day for day in days if day.replace(day=1) in kept]
