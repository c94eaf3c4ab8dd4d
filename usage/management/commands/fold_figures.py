"""`manage.py fold_figures`: count what the front page of the back office shows."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from usage.services.figures.folding import fold_figures


class Command(OperatorCommand):
    help = (
        "Fold the figures of the back office's front page from the ledger and the daily sums. Safe to repeat; after a "
        "pause it catches up. A customer whose credits cannot be counted does not stop the others, and is exit 1."
    )

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        customers = Round(say=self.say)
        with run_lock("fold_figures"):
            folded = fold_figures(now=timezone.now(), customers=customers)
        text = f"Folded {folded.days} days, and counted {folded.customers} customers; {folded.behind} are behind."
        return Result({**folded._asdict(), "failed": len(customers.failed)}, text=text, failure=customers.failure)
