"""`manage.py send_alerts`: notify customers about their credits."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.services.notices import send_notice_emails
from accounts.services.signing_in.notices import notify_failed_sign_ins
from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from usage.services.alerts.crossings import arm_returned, count_crossings, notify_crossings, unwatched, watch_depletion
from usage.services.alerts.expiring_grants import grants_expiring, notify_expiring_grants
from usage.services.alerts.notices import DEPLETED, EXPIRING, LOW, RECOVERED, RUNWAY_LOW
from usage.services.alerts.runways import count_runways, notify_runways

EMAILS_A_RUN = 10_000


class Command(OperatorCommand):
    help = (
        "Tell customers that their credits are low, used up, back, or about to expire, by webhooks and by email: each "
        "crossing once. Sends all other emails that are due, too. Run it every few minutes. Safe to run twice; what "
        "fails for one customer does not stop the others, and is exit 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count the notices that are due")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        now = timezone.now()
        if options["dry_run"]:
            told = count_crossings() + count_runways(now=now) + Counter({EXPIRING: len(grants_expiring(now=now))})
            return _result(told, len(unwatched(now=now)), 0, Round(), dry_run=True)
        customers = Round(say=self.say)
        with run_lock("send_alerts"):
            watched = self._watch(customers, now)
            told = notify_crossings(customers, now=now)
            arm_returned(customers, now=now)
            told += notify_crossings(customers, now=now)
            told += notify_runways(customers, now=now) + notify_expiring_grants(customers, now=now)
            notify_failed_sign_ins(customers, now=now)
        emails = send_notice_emails(customers, now=timezone.now(), most=EMAILS_A_RUN)
        return _result(told, watched, emails, customers, dry_run=False)

    def _watch(self, customers: Round, now: dt.datetime) -> int:
        """Arm the alert on depletion of customers who have had credits since the last run."""
        due, watched = unwatched(now=now), 0
        with self.progress("Watching", total=len(due)) as step:
            for user_id in due:
                with customers.turn(user_id):
                    watch_depletion(user_id=user_id, now=now)
                    watched += 1
                step(1)
        return watched


def _result(told: Counter[str], watched: int, emails: int, customers: Round, *, dry_run: bool) -> Result:
    return Result(
        {
            "low": told[LOW],
            "depleted": told[DEPLETED],
            "runway_low": told[RUNWAY_LOW],
            "recovered": told[RECOVERED],
            "grants_expiring": told[EXPIRING],
            "newly_watched": watched,
            "emails": emails,
            "failed": len(customers.failed),
            "dry_run": dry_run,
        },
        failure=customers.failure,
    )
