"""Noting what a run has found: each finding is a case that stays open until somebody closes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import simplejson
from django.conf import settings
from django.db import transaction
from psycopg.types.json import Jsonb

from config.db.calls import call
from config.rounds import Round
from config.values.json import exact_json
from ledger.services.reconciliation.checks import Finding
from usage.models import ReconciliationRun
from usage.models.reconciliation_finding import LONGEST_SUBJECT
from usage.services.findings.freezing import freeze_for

# With names that end in `_id`: the facts that say what a finding is about. The others are figures, which move on while
# the finding stays the same.
_NAMING = frozenset({"day", "endpoint", "began_on", "name", "anchor"})
NOTED_OF_A_CHECK = 100
"""How many findings of one check become cases in one run: more of a kind have one cause, and are no work for people."""


def subject_of(finding: Finding) -> str:
    """Return of whom and of what a promise does not hold: with the check, the identity of a finding."""
    named = [] if finding.user_id is None else [f"customer {finding.user_id}"]
    facts = sorted((name, value) for name, value in finding.facts.items() if name in _NAMING or name.endswith("_id"))
    named += [f"{name.removesuffix('_id').replace('_', ' ')} {value}" for name, value in facts if value is not None]
    return (", ".join(named) or "everything")[:LONGEST_SUBJECT]


def note_findings(run: ReconciliationRun, findings: Sequence[Finding], customers: Round) -> None:
    """Keep what a run has found; a new finding about a customer freezes the account if the site is set so.

    Of each check the first `NOTED_OF_A_CHECK` are kept; the run itself counts them all, and the next one keeps what is
    left when these have been put right.
    Each finding is a turn: one that cannot be kept, or whose account cannot be frozen, does not stop the others.
    Repeating it for the same run changes nothing.
    """
    for finding in _first_of_each_check(findings):
        is_noted = False
        with customers.turn(finding.user_id):
            _note(run, finding, freezes=settings.RECONCILIATION_FREEZES_ACCOUNT)
            is_noted = True
        if not is_noted and settings.RECONCILIATION_FREEZES_ACCOUNT:
            with customers.turn(finding.user_id):  # the account could not be frozen: the finding is kept all the same
                _note(run, finding, freezes=False)


def _first_of_each_check(findings: Sequence[Finding]) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.check] += 1
        if seen[finding.check] <= NOTED_OF_A_CHECK:
            yield finding


@transaction.atomic
def _note(run: ReconciliationRun, finding: Finding, *, freezes: bool) -> None:
    noted = call(
        "usage_note_finding",
        p_check_name=finding.check,
        p_subject=subject_of(finding),
        p_user_id=finding.user_id,
        p_detail=finding.detail,
        p_facts=Jsonb(_as_json(finding.facts)),
        p_run_id=run.pk,
    )
    if freezes and noted.event_id is not None and finding.user_id is not None:
        freeze_for(finding_id=noted.finding_id, event_id=noted.event_id, user_id=finding.user_id)


def _as_json(facts: dict[str, Any]) -> Any:
    return simplejson.loads(exact_json(facts))
