"""What a run has found, grouped by promise, with what became of each finding since."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from accounts.models import User
from config.backoffice.links import page_url
from ledger.services.reconciliation.checks import Finding
from usage.models import ReconciliationFinding, ReconciliationRun
from usage.services.findings.noting import subject_of

_SAID_ALREADY = ("check", "user_id", "detail")


@dataclass(frozen=True)
class Row:
    """One finding of a run, as a page shows it."""

    customer: str
    customer_url: str
    detail: str
    facts: str
    state: str
    url: str


@dataclass
class Group:
    """The findings of one promise."""

    check: str
    title: str
    rows: list[Row] = field(default_factory=list)


def title_of(check_name: str) -> str:
    """Return the name of a check as a sentence: `seal_fits_entry` as "Seal fits entry"."""
    return check_name.replace("_", " ").capitalize()


def groups_of(run: ReconciliationRun) -> list[Group]:
    """Return the findings that a run's report has, in its order, with their cases and customers."""
    findings = [_read(found) for found in run.report.get("findings", [])]
    cases = _cases_of(findings)
    people = User.objects.in_bulk({finding.user_id for finding in findings if finding.user_id is not None})
    groups: dict[str, Group] = {}
    for finding in findings:
        group = groups.setdefault(finding.check, Group(finding.check, title_of(finding.check)))
        case = cases.get((finding.check, subject_of(finding)))
        group.rows.append(_row(finding, case, people.get(finding.user_id or 0)))
    return list(groups.values())


def _read(found: dict[str, Any]) -> Finding:
    facts = {name: value for name, value in found.items() if name not in _SAID_ALREADY}
    return Finding(found["check"], found.get("user_id"), found["detail"], facts)


def _cases_of(findings: list[Finding]) -> dict[tuple[str, str], ReconciliationFinding]:
    if not findings:
        return {}
    wanted = Q()
    for check in {finding.check for finding in findings}:
        subjects = [subject_of(finding) for finding in findings if finding.check == check]
        wanted |= Q(check_name=check, subject__in=subjects)
    cases = ReconciliationFinding.objects.filter(wanted).only("check_name", "subject", "closed_at")
    return {(case.check_name, case.subject): case for case in cases}


def _row(finding: Finding, case: ReconciliationFinding | None, customer: User | None) -> Row:
    known = finding.user_id is not None
    return Row(
        customer=str(customer or finding.user_id) if known else "–",
        customer_url=page_url("accounts_user", finding.user_id) if known else "",
        detail=finding.detail,
        facts=", ".join(f"{name} {value}" for name, value in finding.facts.items()),
        state="" if case is None else "open" if case.closed_at is None else "closed",
        url="" if case is None else page_url("usage_reconciliationfinding", case.pk),
    )
