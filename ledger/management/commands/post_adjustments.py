"""`manage.py post_adjustments`: post the lines of files of adjustments that were allowed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from ledger.services.adjustments.files import lines_to_post, post_lines

LINES_A_RUN = 10_000


class Command(OperatorCommand):
    help = (
        "Post the lines of files of adjustments that are within limits or approved. The back office posts the first "
        "ones at once; this posts the rest. Run it every minute. Safe to run twice, and twice at once; what fails for "
        "one customer does not stop the others, and is exit 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count the lines that wait")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        if options["dry_run"]:
            waiting = lines_to_post()[:LINES_A_RUN].count()
            return Result({"waiting": waiting, "settled": 0, "failed": 0, "dry_run": True})
        customers = Round(say=self.say)
        with run_lock("post_adjustments"):
            settled = post_lines(customers, most=LINES_A_RUN)
        data = {
            "waiting": lines_to_post()[:LINES_A_RUN].count(),
            "settled": settled,
            "failed": len(customers.failed),
            "dry_run": False,
        }
        return Result(data, failure=customers.failure)
