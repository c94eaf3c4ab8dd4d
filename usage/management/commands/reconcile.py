"""`manage.py reconcile`: check every promise against the rows themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounts.selectors import user_named
from config.cli.arguments import instant_argument
from config.cli.command import EXIT_USAGE, OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from ledger.services.reconciliation.checks import Finding, Scope, correct_drift
from usage.services.figures.folding import fold_figures
from usage.services.findings.noting import note_findings
from usage.services.reconciliation import mend_sums, reconcile, remember_run
from usage.services.runs.whole import beyond_the_snapshot


class Command(OperatorCommand):
    help = (
        "Check every invariant of ledger, holds and statistics, and usage against the ledger, on one snapshot. "
        "A full run notes where every ledger ends, signed (ANCHOR_KEYS), and looks for the ends noted before. "
        "Exit 3 with findings. --fix makes wrong statistics anew from the log; --fix-balances posts an entry for a "
        "balance that had moved without one. History is never edited. Findings are kept as cases for the back office. "
        "What fails to be fixed for one customer does not stop the others, and is exit 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", metavar="U", help="one customer, by email or id")
        parser.add_argument("--since", metavar="T", type=instant_argument, help="only what was written since")
        parser.add_argument("--fix", action="store_true", help="rebuild what is derived")
        parser.add_argument("--no-provider", action="store_true", help="do not ask the payment provider")
        parser.add_argument("--fix-balances", action="store_true", help="with --fix: post correcting entries")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        if options["fix_balances"] and not options["fix"]:
            raise CommandError("--fix-balances goes with --fix.", returncode=EXIT_USAGE)
        user_id = user_named(options["user"]).pk if options["user"] else None
        scope = Scope(user_id, options["since"])
        started_at = timezone.now()
        customers = Round(say=self.say)
        with run_lock("reconcile --fix") if options["fix"] else nullcontext():
            checked, findings = reconcile(scope)
            fixed = self._fix(findings, customers, options) if options["fix"] and findings else 0
            if fixed:
                fold_figures(now=timezone.now(), customers=customers)  # they are made from what was wrong
                checked, findings = reconcile(scope)
        findings += beyond_the_snapshot(scope, checked, asks_providers=not options["no_provider"], say=self.say)
        run = remember_run(scope, checked, findings, started_at=started_at, finished_at=timezone.now())
        note_findings(run, findings, customers)
        data: dict[str, Any] = {"checked": checked, "findings": [finding.as_dict() for finding in findings]}
        if options["fix"]:
            data |= {"fixed": fixed, "failed": len(customers.failed)}
        text = _report(checked, findings, fixed)
        return Result(data, text=text, findings=len(findings), failure=customers.failure)

    def _fix(self, findings: Sequence[Finding], customers: Round, options: Mapping[str, Any]) -> int:
        fixed = mend_sums([finding for finding in findings if finding.check == "sums_are_the_log"], customers)
        if fixed:
            self.say(f"{fixed} daily sums made anew from the log.")
        if options["fix_balances"]:
            drifted = [finding.user_id for finding in findings if finding.check == "balance_is_last_entry"]
            for user_id in filter(None, drifted):
                with customers.turn(user_id):
                    if correct_drift(user_id=user_id) == "posted":
                        self.say(f"User {user_id}: a correcting entry accounts for the drift.")
                        fixed += 1
        return fixed


def _report(checked: Mapping[str, int], findings: Sequence[Finding], fixed: int) -> str:
    by_check: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_check[finding.check].append(finding)
    lines = [f"{check} · user {finding.user_id}: {finding.detail}" for check in by_check for finding in by_check[check]]
    looked_at = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in checked.items())
    verdict = f"{len(findings)} findings" if findings else "no findings"
    return "\n".join([*lines, f"Checked {looked_at}: {verdict}{f', {fixed} fixed' if fixed else ''}."])
