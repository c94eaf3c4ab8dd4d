"""`manage.py expire_grants`: expire the grants that are due, and settle long histories in batches."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from config.cli.command import OperatorCommand, Result, prints_result
from config.rounds import Round
from ledger.services.grants import customers_with_grants_to_settle, grants_due, settle_grants


class Command(OperatorCommand):
    help = (
        "Post what is left of expired grants as expired, and settle which debits drew on which grants, for customers "
        "with credits that expire. Balances are exact without it; it keeps the first charge after an expiry quick. "
        "Safe to run twice, and twice at once; a failure of one customer does not stop the others (exit 1)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count grants that are due")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        due = customers_with_grants_to_settle()
        customers = Round(say=self.say)
        settle = grants_due if options["dry_run"] else settle_grants
        with self.progress("Settling", total=len(due)) as step:
            expiries = concerned = 0
            for user_id in due:
                with customers.turn(user_id):
                    settled = settle(user_id=user_id)
                    expiries += settled
                    concerned += bool(settled)
                step(1)
        failed = len(customers.failed)
        data = {"expiries": expiries, "customers": concerned, "failed": failed, "dry_run": options["dry_run"]}
        return Result(data, failure=customers.failure)
