"""`manage.py deliver_webhooks`: post due notices to customers' webhook endpoints."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.models import DeliveryState
from accounts.selectors import deliveries_due
from accounts.services.webhooks.deliveries import remove_old_deliveries
from accounts.services.webhooks.rounds import deliver_due
from config.cli.command import OperatorCommand, Result, prints_result
from config.rounds import Round

_LONGEST_SECONDS = 3_600


class Command(OperatorCommand):
    help = (
        "Post due deliveries to customers' webhooks, retries included, and delete deliveries older than 30 days. "
        "Continues for at most --seconds with what falls due meanwhile, and ends when nothing is left. Run it every "
        "few seconds to every minute. Several may run at once: each delivery is sent by one. A failure of one endpoint "
        "does not stop the others, and is exit 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seconds", type=_seconds_argument, default=50, help="start nothing after this time (50)")
        parser.add_argument("--dry-run", action="store_true", help="only count what is due")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        if options["dry_run"]:
            due = deliveries_due(now=timezone.now()).count()
            nothing = dict.fromkeys(("delivered", "retried", "failed", "removed", "errors"), 0)
            return Result({"due": due, **nothing, "dry_run": True})
        endpoints = Round("endpoint", say=self.say)
        done = deliver_due(endpoints, seconds=options["seconds"])
        removed = remove_old_deliveries(now=timezone.now())
        data = {
            "due": done.attempts.total() + done.given_up,
            "delivered": done.attempts[DeliveryState.DELIVERED],
            "retried": done.attempts[DeliveryState.PENDING],
            "failed": done.attempts[DeliveryState.FAILED] + done.given_up,
            "removed": removed,
            "errors": len(endpoints.failed),
            "dry_run": False,
        }
        return Result(data, failure=endpoints.failure)


def _seconds_argument(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= _LONGEST_SECONDS):
        raise ArgumentTypeError(f"Write a whole number from 1 to {_LONGEST_SECONDS}.")
    return int(text)
