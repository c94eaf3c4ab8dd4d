"""What reconciliation found in the demo company: a finding that was closed with a note, and a full run without any."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from accounts.models import User
from config.rounds import Round
from ledger.services.reconciliation.checks import Finding, Scope
from usage.errors import FindingClosed
from usage.models import ReconciliationFinding, ReconciliationRun
from usage.services.figures.folding import fold_figures
from usage.services.findings.closing import close_finding
from usage.services.findings.noting import note_findings, subject_of
from usage.services.reconciliation import reconcile, remember_run

_NOTE = (
    "An import was killed while it made these sums, on a test machine. `rebuild_usage` made them anew from the log; "
    "no credits had moved."
)
_DAYS_AGO = 12


def seed_reconciliation(customer: User, *, actor: User, now: dt.datetime) -> None:
    """Keep one closed finding and one full run, and fold the figures; a second run does nothing more but fold."""
    _closed_finding(customer, actor, now)
    if not ReconciliationRun.objects.filter(is_full=True).exists():
        began_at = timezone.now()
        checked, findings = reconcile(Scope())
        run = remember_run(Scope(), checked, findings, started_at=began_at, finished_at=timezone.now())
        note_findings(run, findings, Round())
    fold_figures(now=now, customers=Round())


def _closed_finding(customer: User, actor: User, now: dt.datetime) -> None:
    day = (now - dt.timedelta(days=_DAYS_AGO)).date()
    finding = Finding(
        "sums_are_the_log",
        customer.pk,
        f"On {day}, translate is summed as 9 requests and 9.000000 credits, but the log has 8 and 8.000000.",
        {"day": day, "endpoint": "translate", "summed_requests": 9, "requests": 8},
    )
    if ReconciliationFinding.objects.filter(check_name=finding.check, user=customer).exists():
        return
    run = remember_run(Scope(user_id=customer.pk), {"daily_sums": 120}, [finding], started_at=now, finished_at=now)
    note_findings(run, [finding], Round())
    kept = ReconciliationFinding.objects.get(check_name=finding.check, subject=subject_of(finding))
    try:
        close_finding(finding_id=kept.pk, note=_NOTE, actor_id=actor.pk, idempotency_key="demo: closed")
    except FindingClosed:
        return  # another run has just closed it
