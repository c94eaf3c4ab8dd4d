"""`manage.py settle_payments`: find out what became of payments, credit them, take back, send receipts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from config.cli.command import OperatorCommand, Result
from config.cli.run_lock import run_lock
from ledger.models import PaymentState
from ledger.services.payment_rounds import (
    payments_in_doubt,
    receipts_due,
    reversals_due,
    send_receipts,
    settle_one,
    take_back,
)


class Command(OperatorCommand):
    help = (
        "Ask the payment provider about every payment that is open and was not asked about for two minutes; take back "
        "credits whose money was taken back; send the receipts that were not sent. Charges nothing. Run it every few "
        "minutes. Safe to run twice; exit 3 if the provider speaks of something else than we asked for."
    )

    def take(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def run(self, options: Mapping[str, Any]) -> Result:
        if options["dry_run"]:
            in_doubt, take_backs, receipts = payments_in_doubt(now=timezone.now()), reversals_due(), receipts_due()
            return _result(len(in_doubt), Counter(), len(take_backs), 0, len(receipts), dry_run=True)
        with run_lock("settle_payments"):
            states = self._settle()
            outcomes = take_back(reversals_due())
            sent = send_receipts(receipts_due(), now=timezone.now())
        return _result(
            states.total(), states, outcomes["posted"], outcomes["insufficient"], sent, dry_run=options["dry_run"]
        )

    def _settle(self) -> Counter[str]:
        due = payments_in_doubt(now=timezone.now())
        states: Counter[str] = Counter()
        with self.progress("Asking", total=len(due)) as step:
            for payment_id in due:
                states[settle_one(payment_id=payment_id, now=timezone.now())] += 1
                step(1)
        return states


def _result(asked: int, states: Counter[str], reversals: int, spent: int, receipts: int, *, dry_run: bool) -> Result:
    data = {
        "asked": asked,
        **{str(state): states[state] for state in PaymentState.values},
        "refused": states["refused"],
        "reversals": reversals,
        "reversals_already_spent": spent,
        "receipts": receipts,
        "dry_run": dry_run,
    }
    return Result(data, findings=states["refused"])
