"""`manage.py rebuild_usage`: rebuild the daily sums from the log."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounts.selectors import user_named
from config.cli.arguments import end_argument, instant_argument
from config.cli.command import EXIT_USAGE, OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from usage.services.figures.folding import fold_figures
from usage.services.reconciliation import days_to_rebuild, rebuild_day

DAY = dt.timedelta(days=1)


class Command(OperatorCommand):
    help = (
        "Recompute the daily sums of every day that the range touches from the log, a day at a time. Refuses a range "
        "of which some log was dropped: there the sums are all that is left. Sums that are right stay as they are. "
        "What fails for one customer does not stop the others (exit 1)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="start", metavar="T", type=instant_argument, required=True)
        parser.add_argument("--to", dest="end", metavar="T", type=end_argument, required=True)
        parser.add_argument("--user", metavar="U", help="one customer, by email or id")
        parser.add_argument("--dry-run", action="store_true", help="only count the sums that are wrong")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        start, end = options["start"], options["end"]
        if start >= end:
            raise CommandError("--from must be earlier than --to.", returncode=EXIT_USAGE)
        user_id = user_named(options["user"]).pk if options["user"] else None
        changed = 0
        customers = Round(say=self.say)
        with run_lock("rebuild_usage"):
            first, after = start.date(), (end - dt.timedelta(microseconds=1)).date() + DAY
            days = days_to_rebuild(user_id=user_id, first_day=first, day_after=after)
            with self.progress("Rebuilding", total=len(days)) as step:
                for day in days:
                    changed += rebuild_day(user_id=user_id, day=day, customers=customers, dry_run=options["dry_run"])
                    step(1)
        if changed and not options["dry_run"]:
            fold_figures(now=timezone.now(), customers=customers)  # they are made from these sums
        data = {"from": first, "to": after, "days": len(days), "changed": changed, "failed": len(customers.failed)}
        return Result(data | {"dry_run": options["dry_run"]}, failure=customers.failure)
