"""Reconciliation of reversals: what took credits back, and gave them back, used the grants that it concerned."""

from __future__ import annotations

from ledger.services.reconciliation.checks import Check

_OF_USER = "(%(user)s::bigint IS NULL OR {} = %(user)s)"

REVERSAL_CHECKS = (
    Check(
        "reversal_draws_on_its_own_grant",
        f"""SELECT e.user_id, e.id AS entry_id, g.entry_id AS grant_id, own.drawn,
                least(-e.amount, own.credits) AS expected
            FROM ledger_entry e
            JOIN ledger_entry bought ON bought.id = e.reverses_id AND bought.amount > 0
            JOIN ledger_grant g ON g.entry_id = bought.id
            JOIN ledger_grantprogress p ON p.user_id = e.user_id AND p.seq >= e.seq
            CROSS JOIN LATERAL (
                SELECT g.amount - coalesce(sum(d.credits) FILTER (WHERE d.last_seq < e.seq), 0) AS credits,
                    coalesce(sum(d.credits) FILTER (WHERE d.last_seq = e.seq), 0) AS drawn
                FROM ledger_grantdraw d
                WHERE d.user_id = e.user_id AND d.grant_id = g.entry_id AND d.last_seq <= e.seq
            ) own
            WHERE {_OF_USER.format("e.user_id")} AND e.reverses_id IS NOT NULL AND e.amount < 0
                AND own.drawn <> least(-e.amount, own.credits)""",
        "Entry {entry_id} took a purchase back and drew {drawn} credits on its own grant {grant_id}, which had"
        " {expected} for it.",
    ),
    Check(
        "what_is_given_back_reaches_grants",
        # What an entry did not give back to grants paid what was overdrawn: all that was left, less the balance.
        f"""SELECT user_id, entry_id, given, amount - paid AS expected
            FROM (
                SELECT e.user_id, e.id AS entry_id, e.seq, e.amount, e.balance_after - e.amount AS before,
                    coalesce((SELECT -sum(d.credits) FROM ledger_grantdraw d
                              WHERE d.user_id = e.user_id AND d.last_seq = e.seq), 0)
                    + coalesce((SELECT g.amount FROM ledger_grant g WHERE g.entry_id = e.id), 0) AS given
                FROM ledger_entry e
                JOIN ledger_grantprogress p ON p.user_id = e.user_id AND p.seq >= e.seq
                WHERE {_OF_USER.format("e.user_id")} AND e.reverses_id IS NOT NULL AND e.amount > 0
                OFFSET 0
            ) back
            CROSS JOIN LATERAL (
                SELECT least(amount, greatest(0,
                    coalesce((SELECT sum(g.amount) FROM ledger_grant g
                              WHERE g.user_id = back.user_id AND g.seq < back.seq), 0)
                    - coalesce((SELECT sum(d.credits) FROM ledger_grantdraw d
                                WHERE d.user_id = back.user_id AND d.last_seq < back.seq), 0)
                    - before)) AS paid
                WHERE given <> amount OR before < 0
                OFFSET 0
            ) overdraft
            WHERE given <> amount - paid""",
        "Entry {entry_id} gave {given} credits back to grants, and should have given {expected}.",
    ),
    Check(
        "grants_get_back_what_was_drawn",
        f"""SELECT user_id, grant_id, reverses_id AS entry_id, given, drawn
            FROM (
                SELECT e.user_id, e.reverses_id, d.grant_id, -sum(d.credits) AS given
                FROM ledger_entry e
                JOIN ledger_grantdraw d ON d.user_id = e.user_id AND d.last_seq = e.seq AND d.credits < 0
                WHERE {_OF_USER.format("e.user_id")} AND e.reverses_id IS NOT NULL AND e.amount > 0
                GROUP BY e.user_id, e.reverses_id, d.grant_id
            ) back
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(CASE taken.seq
                    WHEN d.first_seq THEN d.first_credits WHEN d.last_seq THEN d.last_credits ELSE -taken.amount
                END), 0) AS drawn
                FROM (
                    SELECT seq, amount FROM ledger_entry WHERE id = back.reverses_id
                    UNION ALL
                    SELECT seq, amount FROM ledger_entry WHERE reverses_id = back.reverses_id
                ) taken
                CROSS JOIN LATERAL (
                    SELECT * FROM ledger_grantdraw WHERE user_id = back.user_id AND last_seq = taken.seq
                    UNION ALL
                    SELECT * FROM ledger_grantdraw
                    WHERE user_id = back.user_id AND first_seq <= taken.seq AND last_seq = (
                        SELECT min(last_seq) FROM ledger_grantdraw
                        WHERE user_id = back.user_id AND last_seq > taken.seq)
                ) d
                WHERE taken.amount < 0 AND d.grant_id = back.grant_id
            ) draws
            WHERE given > drawn""",
        "Grant {grant_id} was given back {given} credits of what took, or was taken by, entry {entry_id}; that drew"
        " {drawn} on it.",
    ),
    Check(
        "expiries_are_posted_before_other_entries",
        # A millisecond: a charge may be under way when credits end. More than a due period has brought.
        f"""SELECT b.user_id, lapsed.credits
            FROM (
                SELECT b.user_id, b.updated_at FROM ledger_balance b
                WHERE {_OF_USER.format("b.user_id")} AND EXISTS (
                    SELECT FROM ledger_grant g WHERE g.user_id = b.user_id AND g.expires_at <= b.updated_at)
                OFFSET 0
            ) b
            CROSS JOIN LATERAL (
                SELECT credits FROM ledger_expired_credits(b.user_id, b.updated_at - interval '1 millisecond')
            ) lapsed
            WHERE lapsed.credits > 0""",
        "When the balance moved last, {credits} credits had expired without an entry that says so.",
    ),
)
