"""What of usage and reconciliation waits for staff."""

from __future__ import annotations

import datetime as dt

from config.backoffice.links import list_url
from config.backoffice.to_do import ToDo, register_to_dos
from usage.models import RequestLog
from usage.selectors import open_findings
from usage.services.figures.windows import first_of_month, midnight

_FINDINGS = "usage_reconciliationfinding"


def _month(now: dt.datetime) -> dt.date:
    return first_of_month(now.astimezone(dt.UTC).date())


TO_DOS = (
    ToDo(
        name="findings",
        title="Findings of reconciliation that are open",
        permission="usage.view_reconciliationfinding",
        rows=lambda _: open_findings(),
        since="opened_at",
        url=lambda _: list_url(_FINDINGS, state="open"),
        advice="Find out who wrote past the ledger, put it right, and close each with a note.",
        is_urgent=True,
    ),
    ToDo(
        name="unpaid",
        title="Requests that could not be paid",
        permission="usage.view_requestlog",
        rows=lambda now: RequestLog.objects.filter(unpaid=True, occurred_at__gte=midnight(_month(now))),
        since="occurred_at",
        url=lambda now: list_url(
            "usage_requestlog",
            outcome="unpaid",
            occurred_at__year=_month(now).year,
            occurred_at__month=_month(now).month,
        ),
        advice="Of this month: served, reported later, and no credits were left. See who let them through.",
    ),
)
register_to_dos(*TO_DOS)
