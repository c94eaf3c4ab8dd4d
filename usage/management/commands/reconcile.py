"""`manage.py reconcile`: check every promise against the rows themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounts.selectors import user_named
from config.cli.arguments import instant_argument
from config.cli.command import EXIT_USAGE, OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from ledger.errors import PaymentsOff
from ledger.providers.base import NoAnswer, Refused
from ledger.services.payments.provider_checks import compare_with_provider, providers_used
from ledger.services.reconciliation.anchoring import check_anchor, take_anchor
from ledger.services.reconciliation.checks import Finding, Scope, correct_drift
from usage.services.reconciliation import mend_sums, reconcile, remember_run


class Command(OperatorCommand):
    help = (
        "Check every invariant of ledger, holds and statistics, and usage against the ledger, on one snapshot. "
        "A full run notes where every ledger ends, signed (ANCHOR_KEYS), and looks for the ends noted before. "
        "Exit 3 with findings. --fix makes wrong statistics anew from the log; --fix-balances posts an entry for a "
        "balance that had moved without one. History is never edited. What fails to be fixed for one customer does not "
        "stop the others, and is exit 1."
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
                checked, findings = reconcile(scope)
        if scope == Scope():
            findings = [*findings, *self._anchored(checked)]
        if not options["no_provider"]:
            findings = [*findings, *self._at_providers(scope, checked)]
        remember_run(scope, checked, findings, started_at=started_at, finished_at=timezone.now())
        data: dict[str, Any] = {"checked": checked, "findings": [finding.as_dict() for finding in findings]}
        if options["fix"]:
            data |= {"fixed": fixed, "failed": len(customers.failed)}
        text = _report(checked, findings, fixed)
        return Result(data, text=text, findings=len(findings), failure=customers.failure)

    def _anchored(self, checked: dict[str, int]) -> list[Finding]:
        """Compare the ledgers with the last anchor, and store the next one unless that would hide a fault."""
        if not settings.ANCHOR_KEYS:
            self.say("The ends of the ledgers were not noted: ANCHOR_KEYS is not set.")
            return []
        before = check_anchor()
        if before.is_trusted:
            checked["anchored_customers"] = take_anchor(kept=before.kept).customers
        else:
            self.say("No new anchor was taken: the one before does not hold. manage.py anchor --renew takes one.")
        return before.findings

    def _at_providers(self, scope: Scope, checked: dict[str, int]) -> Iterator[Finding]:
        """Compare payments with the providers' books; an unreachable provider does not stop the other checks."""
        now = timezone.now()
        for name in providers_used(scope, now=now):
            try:
                compared = compare_with_provider(name, scope, now=now)
            except (PaymentsOff, NoAnswer, Refused) as silence:
                self.say(f"Payments were not compared with {name}: {silence}")
                continue
            checked["payments_at_provider"] = checked.get("payments_at_provider", 0) + compared.payments
            yield from compared.findings

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
