"""`manage.py expire_holds`: settle expired holds and grants."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from config.cli.command import OperatorCommand, Result, prints_result
from config.rounds import Round
from ledger.services.holds import customers_with_expiries, expire_holds, expired_holds


class Command(OperatorCommand):
    help = (
        "Settle every hold that has expired, one customer in each transaction. Balances are exact without it; "
        "it keeps the list of open holds short. Safe to run twice, and twice at once; what fails for one customer does "
        "not stop the others, and is exit 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        due = customers_with_expiries()
        settle = _count if options["dry_run"] else _settle
        customers = Round(say=self.say)
        with self.progress("Settling", total=len(due)) as step:
            holds = concerned = 0
            for user_id in due:
                with customers.turn(user_id):
                    settled = settle(user_id)
                    holds += settled
                    concerned += bool(settled)
                step(1)
        data = {"holds": holds, "customers": concerned, "failed": len(customers.failed), "dry_run": options["dry_run"]}
        return Result(data, failure=customers.failure)


def _settle(user_id: int) -> int:
    return expire_holds(user_id=user_id)


def _count(user_id: int) -> int:
    return expired_holds(user_id=user_id)
