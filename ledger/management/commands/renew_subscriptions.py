"""`manage.py renew_subscriptions`: begin the periods of subscriptions that are due."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.selectors import user_named
from config.cli.arguments import text_argument
from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from ledger.services.subscriptions.renewals import customers_due, renew_subscription


class Command(OperatorCommand):
    help = (
        "Begin the periods of subscriptions that are due, missed ones too, in their order, and grant the credits of "
        "each once. Balances are exact without it: a charge or a look at the account begins a due period by itself; "
        "this does so for customers who are silent. Run it every few minutes. Safe to run twice, and twice at once; "
        "what fails for one customer does not stop the others, and is exit 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", metavar="U", type=text_argument, help="only this customer, by email or id")
        parser.add_argument("--dry-run", action="store_true", help="only count the subscriptions that are due")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        user_id = None if options["user"] is None else user_named(options["user"]).pk
        if options["dry_run"]:
            return Result({"due": len(customers_due(user_id=user_id)), "periods": 0, "failed": 0, "dry_run": True})
        with run_lock("renew_subscriptions"):
            return self._renew(customers_due(user_id=user_id))

    def _renew(self, due: list[int]) -> Result:
        periods = 0
        customers = Round(say=self.say)
        with self.progress("Renewing", total=len(due)) as step:
            for user_id in due:
                with customers.turn(user_id):
                    periods += renew_subscription(user_id=user_id)
                step(1)
        data = {"due": len(due), "periods": periods, "failed": len(customers.failed), "dry_run": False}
        return Result(data, failure=customers.failure)
