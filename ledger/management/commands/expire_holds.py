"""`manage.py expire_holds`: settle what has expired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from config.cli.command import OperatorCommand, Result
from ledger.services.expiry import customers_with_expiries, expire_holds, expired_holds


class Command(OperatorCommand):
    help = (
        "Settle every hold that has expired, one customer in each transaction. Balances are exact without it; "
        "it keeps the list of open holds short. Safe to run twice, and twice at once."
    )

    def take(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def run(self, options: Mapping[str, Any]) -> Result:
        due = customers_with_expiries()
        settle = _count if options["dry_run"] else _settle
        with self.progress("Settling", total=len(due)) as step:
            holds = customers = 0
            for user_id in due:
                settled = settle(user_id)
                holds += settled
                customers += bool(settled)
                step(1)
        return Result({"holds": holds, "customers": customers, "dry_run": options["dry_run"]})


def _settle(user_id: int) -> int:
    return expire_holds(user_id=user_id)


def _count(user_id: int) -> int:
    return expired_holds(user_id=user_id)
