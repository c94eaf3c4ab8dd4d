"""`manage.py settle_payments`: look up the outcome of payments, credit them, finish refunds, send receipts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.services.notices import notice_emails_due, send_notice_emails
from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from ledger.models import PaymentState
from ledger.services.payments.refunds import refunds_in_doubt
from ledger.services.payments.rounds import (
    Settled,
    finish_refund,
    payments_in_doubt,
    reversals_due,
    settle_all_reversals,
    settle_one,
)
from ledger.services.receipts import RECEIPT_TYPES

RECEIPTS_A_RUN = 10_000
MOST_SILENCES = 3  # in a row: each may take as long as the provider's client waits, while the lock is held


class Command(OperatorCommand):
    help = (
        "Ask the payment provider about every payment that is open and was not asked about for two minutes; finish "
        "refunds by staff that it has not answered yet; take back credits whose money was taken back; then send the "
        "receipts that are due. Charges nothing. Run it every few minutes. Safe to run twice; what fails for one "
        "payment or customer does not stop the others (exit 1); exit 3 if the provider speaks of something else than "
        "we asked for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        if options["dry_run"]:
            now = timezone.now()
            in_doubt, would = payments_in_doubt(now=now), Counter(posted=len(reversals_due()))
            receipts = notice_emails_due(now=now, types=RECEIPT_TYPES)
            would["refunds"] = len(refunds_in_doubt(now=now))
            return _result(len(in_doubt), Counter(), would, receipts, (), dry_run=True)
        payments, customers = Round("payment", say=self.say), Round(say=self.say)
        refunds = Round("refund", say=self.say)
        with run_lock("settle_payments"):
            states = self._settle(
                payments_in_doubt(now=timezone.now()), payments,
                lambda payment_id: settle_one(payment_id=payment_id, now=timezone.now()),
            )  # fmt: skip
            made = self._settle(
                refunds_in_doubt(now=timezone.now()), refunds,
                lambda refund_id: finish_refund(refund_id=refund_id, now=timezone.now()),
            )  # fmt: skip
            outcomes = settle_all_reversals(reversals_due(), payments)
        # Money first; a mail server that hangs does not keep other runs from the lock.
        sent = send_notice_emails(customers, now=timezone.now(), most=RECEIPTS_A_RUN, types=RECEIPT_TYPES)
        asked = states.total() + len(payments.failed)
        states["refused"] += made["refused"]
        outcomes.update(refunds=made["refund_made"], refunds_refused=made["refund_refused"])
        return _result(asked, states, outcomes, sent, (payments, refunds, customers), dry_run=False)

    def _settle(self, due: list[int], rows: Round, settle: Callable[[int], Settled]) -> Counter[str]:
        """Ask about one payment or refund after another; a provider that does not answer ends the round."""
        states: Counter[str] = Counter()
        silences = 0
        with self.progress("Asking", total=len(due)) as step:
            for row_id in due:
                with rows.turn(row_id):
                    settled = settle(row_id)
                    states[settled.state] += 1
                    silences = 0 if settled.was_answered else silences + 1
                step(1)
                if silences == MOST_SILENCES:
                    self.say(f"The payment provider did not answer {silences} times in a row: it is asked no more now.")
                    break
        return states


def _result(
    asked: int, states: Counter[str], reversals: Counter[str], receipts: int, rounds: Sequence[Round], *, dry_run: bool
) -> Result:
    data = {
        "asked": asked,
        **{str(state): states[state] for state in PaymentState.values},
        "refused": states["refused"],
        "refunds": reversals["refunds"],
        "refunds_refused": reversals["refunds_refused"],
        "reversals": reversals["posted"],
        "reversals_already_spent": reversals["insufficient"],
        "receipts": receipts,
        "errors": sum(len(one.failed) for one in rounds),
        "dry_run": dry_run,
    }
    failure = " ".join(one.failure for one in rounds if one.failure is not None)
    return Result(data, findings=states["refused"], failure=failure or None)
