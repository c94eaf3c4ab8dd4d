"""What was left of each grant at an earlier time: what is left now, and what later entries have used of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from django.db import connection


@dataclass(frozen=True)
class GrantLeft:
    """What was left of one grant."""

    grant_id: int
    category: str
    amount: Decimal
    left: Decimal
    expires_at: dt.datetime | None
    granted_at: dt.datetime


# A run of debits that began before the place and ended after it used some before: its first debit the credits that the
# run has of it, those between all of theirs. These are a difference of balances, less what was no debit of usage.
_LEFT = """
    WITH later AS (
        SELECT d.grant_id, sum(CASE WHEN d.first_seq > %(seq)s THEN d.credits ELSE d.credits - d.first_credits - (
                (SELECT balance_after FROM ledger_entry WHERE user_id = %(user)s AND seq = d.first_seq)
                - (SELECT balance_after FROM ledger_entry WHERE user_id = %(user)s AND seq = %(seq)s)
                + coalesce((
                    SELECT sum(amount) FROM ledger_entry WHERE user_id = %(user)s AND type <> 'debit'
                        AND seq > d.first_seq AND seq <= %(seq)s), 0)
                + coalesce((
                    SELECT sum(amount) FROM ledger_entry WHERE user_id = %(user)s AND operation = 'expire_grant'
                        AND seq > d.first_seq AND seq <= %(seq)s), 0)
            ) END) AS credits
        FROM ledger_grantdraw d WHERE d.user_id = %(user)s AND d.last_seq > %(seq)s GROUP BY d.grant_id
    ), standing AS (
        SELECT entry_id FROM ledger_grant WHERE user_id = %(user)s AND remaining > 0
        UNION
        SELECT grant_id FROM later
    )
    SELECT g.entry_id, g.category, g.amount, g.remaining + coalesce(later.credits, 0), g.expires_at, g.created_at
    FROM standing JOIN ledger_grant g USING (entry_id) LEFT JOIN later ON later.grant_id = g.entry_id
    WHERE g.seq <= %(seq)s AND g.remaining + coalesce(later.credits, 0) > 0
    ORDER BY g.expires_at NULLS LAST, g.entry_id LIMIT %(most)s
"""


def grants_left(*, user_id: int, seq: int, most: int) -> list[GrantLeft]:
    """Return what was left of grants after the entry at place `seq`, soonest expiry first, at most `most` of them.

    To be called on the snapshot of a history that is settled.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, {"user": user_id, "seq": seq, "most": most})
        return [GrantLeft(*row) for row in cursor.fetchall()]
