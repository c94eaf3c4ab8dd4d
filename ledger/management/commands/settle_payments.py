"""`manage.py settle_payments`: find out what became of payments, credit them, take back, send receipts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.services.notices import notice_emails_due, send_notice_emails
from config.cli.command import OperatorCommand, Result
from config.cli.run_lock import run_lock
from ledger.models import PaymentState
from ledger.services.payment_rounds import (
    payments_in_doubt,
    reversals_due,
    settle_one,
    take_back,
)
from ledger.services.receipts import RECEIPT_TYPES

RECEIPTS_A_RUN = 10_000


class Command(OperatorCommand):
    help = (
        "Ask the payment provider about every payment that is open and was not asked about for two minutes; take back "
        "credits whose money was taken back; then send the receipts that are due. Charges nothing. Run it every few "
        "minutes. Safe to run twice; exit 3 if the provider speaks of something else than we asked for."
    )

    def take(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def run(self, options: Mapping[str, Any]) -> Result:
        if options["dry_run"]:
            now = timezone.now()
            in_doubt, take_backs = payments_in_doubt(now=now), reversals_due()
            receipts = notice_emails_due(now=now, types=RECEIPT_TYPES)
            return _result(len(in_doubt), Counter(), len(take_backs), 0, receipts, dry_run=True)
        with run_lock("settle_payments"):
            states = self._settle()
            outcomes = take_back(reversals_due())
        # Money first; a mail server that hangs keeps no other run from the lock.
        sent = send_notice_emails(now=timezone.now(), most=RECEIPTS_A_RUN, types=RECEIPT_TYPES)
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
