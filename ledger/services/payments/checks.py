"""Reconciliation of payments: what was paid was credited, and what was credited was paid."""

from __future__ import annotations

from ledger.services.payments.rounds import REVERSALS
from ledger.services.reconciliation.checks import Check

_OF_PAYMENT = """(%(user)s::bigint IS NULL OR p.user_id = %(user)s)
    AND (%(since)s::timestamptz IS NULL OR coalesce(p.settled_at, p.created_at) >= %(since)s)"""

PAYMENT_CHECKS = (
    Check(
        "payment_has_its_entry",
        f"""SELECT p.user_id, p.id AS payment_id, p.credits, coalesce(e.amount, 0) AS credited
            FROM ledger_payment p
            LEFT JOIN ledger_entry e ON e.id = p.entry_id AND e.user_id = p.user_id AND e.operation = 'payment'
                AND e.idempotency_key = p.id::text
            WHERE {_OF_PAYMENT} AND p.state = 'succeeded' AND e.amount IS DISTINCT FROM p.credits""",
        "Payment {payment_id} paid for {credits} credits, but {credited} were given.",
    ),
    Check(
        "entry_has_its_payment",
        """SELECT e.user_id, e.id AS entry_id, e.amount
            FROM ledger_entry e
            LEFT JOIN ledger_payment p ON p.entry_id = e.id AND p.user_id = e.user_id AND p.state = 'succeeded'
            WHERE e.operation = 'payment' AND e.reason IN ('purchase', 'auto_reload') AND p.id IS NULL
                AND (%(user)s::bigint IS NULL OR e.user_id = %(user)s)
                AND (%(since)s::timestamptz IS NULL OR e.created_at >= %(since)s)""",
        "Entry {entry_id} gave {amount} credits for a payment that did not succeed.",
    ),
    Check(
        "what_is_owed_is_noted",
        f"""SELECT p.user_id, p.id AS payment_id, paid.credits_owed AS noted, greatest(expected - reversed, 0) AS owed
            FROM ({REVERSALS}) p JOIN ledger_payment paid USING (id)
            WHERE (%(user)s::bigint IS NULL OR p.user_id = %(user)s)
                AND (%(since)s::timestamptz IS NULL OR p.created_at >= %(since)s)
                AND paid.credits_owed <> greatest(expected - reversed, 0)""",
        "Of payment {payment_id}, {owed} credits are still to be taken back, but {noted} are noted.",
    ),
    Check(
        "refund_by_staff_is_noted",
        """SELECT s.user_id, s.id AS refund_id, s.payment_id
            FROM ledger_staffrefund s
            LEFT JOIN ledger_paymentrefund r ON r.payment_id = s.payment_id
                AND r.provider_refund_id = s.provider_refund_id AND r.amount_minor = s.amount_minor
            WHERE (%(user)s::bigint IS NULL OR s.user_id = %(user)s)
                AND (%(since)s::timestamptz IS NULL OR s.created_at >= %(since)s)
                AND s.state = 'made' AND r.id IS NULL""",
        "Refund {refund_id} of payment {payment_id} was made for staff, but its money is not noted.",
    ),
    Check(
        "reversals_follow_the_money",
        f"""SELECT user_id, id AS payment_id, reversed, expected FROM ({REVERSALS}) p
            WHERE (%(user)s::bigint IS NULL OR user_id = %(user)s)
                AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
                -- Less may be taken back than is due, for as long as the customer has spent it.
                AND (reversed > expected OR reversed < 0)""",
        "Of payment {payment_id}, {reversed} credits were taken back, but only {expected} are due.",
    ),
)
