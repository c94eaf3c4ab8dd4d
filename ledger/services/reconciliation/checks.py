"""Reconciliation: every promise of the ledger, checked against its rows."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from config.db.calls import call

FINDINGS_A_CHECK = 1_000


@dataclass(frozen=True)
class Finding:
    """One broken promise: which one, of which customer, and what was found."""

    check: str
    user_id: int | None
    detail: str
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"check": self.check, "user_id": self.user_id, "detail": self.detail, **self.facts}


@dataclass(frozen=True)
class Scope:
    """What to check: one customer or all, everything or what was written since a time."""

    user_id: int | None = None
    since: dt.datetime | None = None

    def parameters(self) -> dict[str, Any]:
        return {"user": self.user_id, "since": self.since, "most": FINDINGS_A_CHECK}


@dataclass(frozen=True)
class Check:
    """One promise: a query for the rows that break it (`user_id` first), and a sentence about such a row."""

    name: str
    query: str
    sentence: str

    def run(self, scope: Scope) -> list[Finding]:
        """Return what breaks the promise, at most FINDINGS_A_CHECK rows, always in the same order."""
        with connection.cursor() as cursor:
            query = f"SELECT * FROM ({self.query}) found ORDER BY found LIMIT %(most)s"
            cursor.execute(query, scope.parameters())
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [Finding(self.name, row.pop("user_id"), self.sentence.format(**row), row) for row in rows]


_LINKED = """
    FROM ledger_entry e
    LEFT JOIN ledger_entry p ON p.user_id = e.user_id AND p.seq = e.seq - 1
    WHERE (%(user)s::bigint IS NULL OR e.user_id = %(user)s)
        AND (%(since)s::timestamptz IS NULL OR e.created_at >= %(since)s)
"""

LEDGER_CHECKS = (
    Check(
        "entry_follows_entry",
        f"SELECT e.user_id, e.id AS entry_id, e.seq {_LINKED} AND e.seq > 1 AND p.id IS NULL",
        "Entry {entry_id} has place {seq}, but the place before it is empty.",
    ),
    Check(
        "balance_after_adds_up",
        "SELECT e.user_id, e.id AS entry_id, e.balance_after, coalesce(p.balance_after, 0) + e.amount AS expected"
        f" {_LINKED} AND (e.seq = 1 OR p.id IS NOT NULL)"
        " AND e.balance_after <> coalesce(p.balance_after, 0) + e.amount",
        "Entry {entry_id} says {balance_after} credits were left, but the entries add up to {expected}.",
    ),
    Check(
        "seal_fits_entry",
        f"""SELECT e.user_id, e.id AS entry_id {_LINKED} AND (e.seq = 1 OR p.id IS NOT NULL)
            AND e.seal <> ledger_seal(
                coalesce(p.seal, ''), e.user_id, e.seq, e.type, e.reason, e.amount, e.balance_after, e.description,
                e.reference, e.metadata, e.operation, e.idempotency_key, e.fingerprint, e.reverses_id, e.actor_id,
                e.created_at)""",
        "Entry {entry_id} is not what was sealed: it, or the one before it, was altered.",
    ),
    Check(
        "times_rise_with_seq",
        f"SELECT e.user_id, e.id AS entry_id {_LINKED} AND p.created_at > e.created_at",
        "Entry {entry_id} is older than the entry before it.",
    ),
    Check(
        "balance_is_last_entry",
        """SELECT coalesce(b.user_id, last.user_id) AS user_id, b.balance, coalesce(last.balance_after, 0) AS expected,
                b.seq, coalesce(last.seq, 0) AS expected_seq
            FROM ledger_balance b
            FULL JOIN (
                SELECT DISTINCT ON (user_id) user_id, seq, balance_after, seal FROM ledger_entry
                WHERE %(user)s::bigint IS NULL OR user_id = %(user)s ORDER BY user_id, seq DESC
            ) last ON last.user_id = b.user_id
            WHERE (%(user)s::bigint IS NULL OR coalesce(b.user_id, last.user_id) = %(user)s)
                AND (b.balance, b.seq, b.seal) IS DISTINCT FROM
                    (coalesce(last.balance_after, 0), coalesce(last.seq, 0), coalesce(last.seal, ''))""",
        "The balance is {balance} at place {seq}, but the entries end with {expected} at place {expected_seq}.",
    ),
    Check(
        "granted_total_adds_up",
        """SELECT b.user_id, b.granted_total, coalesce(sums.granted, 0) AS expected
            FROM ledger_balance b
            LEFT JOIN (
                SELECT user_id, sum(amount) AS granted FROM ledger_entry
                WHERE reason NOT IN ('usage', 'capture', 'refund', 'reversal')
                    AND (%(user)s::bigint IS NULL OR user_id = %(user)s)
                GROUP BY user_id
            ) sums USING (user_id)
            WHERE (%(user)s::bigint IS NULL OR user_id = %(user)s) AND b.granted_total <> coalesce(sums.granted, 0)""",
        "The granted total is {granted_total}, but the entries add up to {expected}.",
    ),
    Check(
        "reserved_is_open_holds",
        """SELECT b.user_id, b.reserved, coalesce(open.credits, 0) AS expected
            FROM ledger_balance b
            LEFT JOIN (
                SELECT user_id, sum(credits - captured) AS credits FROM ledger_hold
                WHERE status = 'open' AND (%(user)s::bigint IS NULL OR user_id = %(user)s)
                GROUP BY user_id
            ) open USING (user_id)
            WHERE (%(user)s::bigint IS NULL OR user_id = %(user)s) AND b.reserved <> coalesce(open.credits, 0)""",
        "{reserved} credits are reserved, but the open holds add up to {expected}.",
    ),
    Check(
        "next_expiry_is_not_late",
        """SELECT b.user_id, h.id AS hold_id, h.expires_at
            FROM ledger_hold h JOIN ledger_balance b USING (user_id)
            WHERE (%(user)s::bigint IS NULL OR user_id = %(user)s)
                AND h.status = 'open' AND h.expires_at < b.next_expiry_at""",
        "Hold {hold_id} expires before the next expiry that the balance knows.",
    ),
    Check(
        "reversal_is_within_its_debit",
        """SELECT e.user_id, e.id AS entry_id, -e.amount AS debited, sum(r.amount) AS reversed
            FROM ledger_entry r JOIN ledger_entry e ON e.id = r.reverses_id
            WHERE (%(user)s::bigint IS NULL OR r.user_id = %(user)s)
            GROUP BY e.id
            HAVING sum(r.amount) NOT BETWEEN least(-e.amount, 0) AND greatest(-e.amount, 0)
                OR bool_or(r.user_id <> e.user_id)""",
        "Of entry {entry_id}, {debited} credits, {reversed} were given back, or to another customer.",
    ),
)


def ledger_sizes(scope: Scope) -> dict[str, int]:
    """Count the rows that the ledger's checks cover."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT
                (SELECT count(*) FROM ledger_balance WHERE %(user)s::bigint IS NULL OR user_id = %(user)s),
                (SELECT count(*) FROM ledger_entry WHERE (%(user)s::bigint IS NULL OR user_id = %(user)s)
                    AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)),
                (SELECT count(*) FROM ledger_hold WHERE %(user)s::bigint IS NULL OR user_id = %(user)s),
                (SELECT count(*) FROM ledger_payment WHERE %(user)s::bigint IS NULL OR user_id = %(user)s)""",
            scope.parameters(),
        )
        balances, entries, holds, payments = cursor.fetchone()
    return {"balances": balances, "entries": entries, "holds": holds, "payments": payments}


def correct_drift(*, user_id: int) -> str:
    """Post the entry that accounts for a balance which moved without one; return the outcome.

    The drift itself prevents repetition: once accounted for, there is nothing to correct.
    """
    outcome: str = call("ledger_correct_drift", p_user_id=user_id, p_idempotency_key=str(uuid.uuid4())).outcome
    return outcome
