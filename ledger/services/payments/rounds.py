"""Rounds over all payments that lack an answer or a reversal."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from typing import NamedTuple

from django.db import connection

from config.rounds import Round
from ledger.errors import LedgerRefusal
from ledger.models import OPEN_STATES, Payment
from ledger.services.payments.refunds import settle_refund
from ledger.services.payments.reversals import settle_reversals
from ledger.services.payments.settling import CALL_MAY_TAKE, ask_about

logger = logging.getLogger(__name__)

# Credits taken back for a payment's money that was taken back, and what they should be.
REVERSALS = """
    SELECT p.id, p.user_id, p.created_at, sums.reversed,
        round(e.amount * least(p.amount_minor, p.refunded_minor + sums.disputed) / p.amount_minor, 6) AS expected
    FROM ledger_payment p
    JOIN ledger_entry e ON e.id = p.entry_id
    CROSS JOIN LATERAL (SELECT
        (SELECT -coalesce(sum(amount), 0) FROM ledger_entry WHERE reverses_id = p.entry_id) AS reversed,
        (SELECT coalesce(sum(amount_minor), 0) FROM ledger_paymentdispute d
         WHERE d.payment_id = p.id AND d.status <> 'won') AS disputed) sums
"""

# For all other payments nothing was ever taken back, nor given back after a refund that failed. An array rather than a
# join: only these are read, whatever statistics say of a young table.
_TAKEN_BACK = """
    SELECT id FROM ledger_payment WHERE refunded_minor > 0 OR refunded_said_minor > 0
    UNION SELECT payment_id FROM ledger_paymentrefund
    UNION SELECT payment_id FROM ledger_paymentdispute
"""


def payments_in_doubt(*, now: dt.datetime) -> list[int]:
    """Return the open payments that were not asked about lately, the longest waiting first."""
    due = Payment.objects.filter(state__in=OPEN_STATES, asked_at__lte=now - CALL_MAY_TAKE)
    return list(due.order_by("asked_at", "id").values_list("pk", flat=True))


def reversals_due() -> list[int]:
    """Return the payments whose reversed credits differ from what they should be."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM ({REVERSALS} WHERE p.id = ANY(ARRAY({_TAKEN_BACK}))) found"
            " WHERE reversed <> expected ORDER BY id"
        )
        return [payment_id for (payment_id,) in cursor.fetchall()]


class Settled(NamedTuple):
    """What a payment or refund came to (`refused`: that could not be recorded), and whether the provider answered."""

    state: str
    was_answered: bool


def settle_one(*, payment_id: int, now: dt.datetime) -> Settled:
    """Settle one payment in a round over many."""
    try:
        asked = ask_about(payment_id=payment_id, now=now)
    except LedgerRefusal as refusal:
        logger.error("Payment %s: %s", payment_id, refusal)  # noqa: TRY400  a refusal, and no accident
        return Settled("refused", was_answered=True)
    return Settled(str(asked.payment.state), asked.was_answered)


def finish_refund(*, refund_id: int, now: dt.datetime) -> Settled:
    """Finish one refund by staff in a round over many."""
    try:
        settled = settle_refund(refund_id=refund_id, now=now)
    except LedgerRefusal as refusal:
        logger.error("Refund %s: %s", refund_id, refusal)  # noqa: TRY400  a refusal, and no accident
        return Settled("refused", was_answered=True)
    return Settled(f"refund_{settled.refund.state}", settled.was_answered)


def settle_all_reversals(payment_ids: list[int], payments: Round) -> Counter[str]:
    """Settle the reversals of these payments, each in its own turn; count the outcomes."""
    outcomes: Counter[str] = Counter()
    for payment_id in payment_ids:
        with payments.turn(payment_id):
            outcomes[settle_reversals(payment_id=payment_id)] += 1
    return outcomes
