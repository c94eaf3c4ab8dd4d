"""`manage.py run_auto_reload`: buy credits for customers who are below their threshold and have agreed to it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from config.cli.command import OperatorCommand, Result, prints_result
from config.rounds import Round
from ledger.errors import LedgerRefusal
from ledger.services.auto_reload.buying import WHY_NOT, reload_one, reloads_due

MOST_SILENCES = 5  # in a row: each may take as long as the provider's client waits
_SILENCES = ("pending", "away")

logger = logging.getLogger(__name__)


class Command(OperatorCommand):
    help = (
        "Buy credits for the customers whose available credits fell below the threshold that they agreed to, within "
        "their monthly cap, one payment each. Run it every minute. Safe to run twice, and twice at once; what fails "
        "for one customer does not stop the others (exit 1); exit 3 if something could not be recorded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count who is due")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        due = reloads_due(now=timezone.now())
        customers = Round(say=self.say)
        outcomes: Counter[str] = Counter()
        if not options["dry_run"]:
            with self.progress("Buying", total=len(due)) as step:
                outcomes = self._buy(due, customers, step)
        data = {
            "due": len(due),
            "left": len(due) - outcomes.total() - len(customers.failed),
            **{state: outcomes[state] for state in ("succeeded", "failed", "requires_action", "pending")},
            **{reason: outcomes[reason] for reason in WHY_NOT},
            "refused": outcomes["refused"],
            "errors": len(customers.failed),
            "dry_run": options["dry_run"],
        }
        return Result(data, findings=outcomes["refused"], failure=customers.failure)

    def _buy(self, due: list[int], customers: Round, step: Callable[[int], None]) -> Counter[str]:
        """Buy for one customer after another; a provider that does not answer ends the round."""
        outcomes: Counter[str] = Counter()
        silences = 0
        for user_id in due:
            outcome = ""
            with customers.turn(user_id):
                outcome = _reload(user_id)
                outcomes[outcome] += 1
            step(1)
            silences = silences + 1 if outcome in _SILENCES else 0
            if silences == MOST_SILENCES:
                self.say(f"The payment provider did not answer {silences} times in a row: the round ends here.")
                break
        return outcomes


def _reload(user_id: int) -> str:
    """Buy for one customer; a refusal does not stop the others."""
    try:
        return reload_one(user_id=user_id, now=timezone.now())
    except LedgerRefusal as refusal:
        logger.error("Auto-reload of customer %s: %s", user_id, refusal)  # noqa: TRY400  a refusal, and no accident
        return "refused"
