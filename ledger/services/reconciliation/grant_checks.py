"""Reconciliation of grants: what is left of them against the balance, and what was drawn against the entries."""

from __future__ import annotations

from ledger.services.reconciliation.checks import Check

_OF_USER = "(%(user)s::bigint IS NULL OR user_id = %(user)s)"

GRANT_CHECKS = (
    Check(
        "lots_are_the_balance",
        f"""SELECT user_id, p.seq, coalesce(grants.remaining, 0) - p.overdrawn AS remaining, e.balance_after AS expected
            FROM ledger_grantprogress p
            LEFT JOIN LATERAL (
                SELECT sum(g.remaining) AS remaining FROM ledger_grant g
                WHERE g.user_id = p.user_id AND g.seq <= p.seq
            ) grants ON true
            LEFT JOIN LATERAL (
                SELECT balance_after FROM ledger_entry WHERE ledger_entry.user_id = p.user_id AND seq = p.seq
            ) e ON true
            WHERE {_OF_USER} AND e.balance_after IS DISTINCT FROM coalesce(grants.remaining, 0) - p.overdrawn""",
        "After entry {seq} {remaining} credits are left in all grants, but the balance was {expected}.",
    ),
    Check(
        "lot_is_its_entry",
        f"""SELECT g.user_id, g.entry_id, g.amount, coalesce(e.amount, 0) AS expected
            FROM ledger_grant g LEFT JOIN ledger_entry e ON e.id = g.entry_id
            WHERE {_OF_USER.replace("user_id", "g.user_id")} AND (
                e.id IS NULL OR (e.user_id, e.seq) <> (g.user_id, g.seq) OR g.amount > e.amount
                OR (g.amount <> e.amount AND e.reverses_id IS NULL))""",
        "Grant {entry_id} began with {amount} credits, but its entry brought {expected}, or is another's.",
    ),
    Check(
        "lot_is_its_draws",
        f"""SELECT user_id, entry_id, g.remaining, g.amount - coalesce(drawn.credits, 0) AS expected
            FROM ledger_grant g JOIN ledger_grantprogress p USING (user_id)
            LEFT JOIN (
                -- All at once: no index leads from a grant to its draws, and a customer may have thousands of either.
                SELECT user_id, grant_id AS entry_id, sum(credits) AS credits FROM ledger_grantdraw
                WHERE {_OF_USER} GROUP BY 1, 2
            ) drawn USING (user_id, entry_id)
            WHERE {_OF_USER} AND g.seq <= p.seq AND g.remaining <> g.amount - coalesce(drawn.credits, 0)""",
        "Of grant {entry_id} {remaining} credits are left, but what was drawn on it leaves {expected}.",
    ),
    Check(
        "draw_is_its_debits",
        f"""SELECT user_id, d.id AS draw_id, d.credits, sums.credits AS expected
            FROM ledger_grantdraw d
            CROSS JOIN LATERAL (
                SELECT d.first_credits + CASE WHEN d.last_seq > d.first_seq THEN d.last_credits ELSE 0 END
                    - coalesce(sum(e.amount), 0) AS credits
                FROM ledger_entry e
                WHERE e.user_id = d.user_id AND e.seq > d.first_seq AND e.seq < d.last_seq
            ) sums
            WHERE {_OF_USER} AND d.credits <> sums.credits""",
        "Draw {draw_id} used {credits} credits, but its debits add up to {expected}.",
    ),
    Check(
        "draws_are_within_their_entry",
        f"""SELECT user_id, seq, sum(credits) AS drawn, coalesce(min(e.amount), 0) AS amount
            FROM (
                SELECT user_id, first_seq AS seq, first_credits AS credits FROM ledger_grantdraw
                UNION ALL
                SELECT user_id, last_seq, last_credits FROM ledger_grantdraw WHERE last_seq > first_seq
            ) drawn LEFT JOIN ledger_entry e USING (user_id, seq)
            WHERE {_OF_USER}
            GROUP BY user_id, seq HAVING abs(sum(credits)) > abs(coalesce(min(e.amount), 0))""",
        "Entry {seq} of {amount} credits drew {drawn} on grants.",
    ),
    Check(
        "expired_is_its_entries",
        f"""SELECT user_id, entry_id, g.expired, coalesce(posted.credits, 0) AS expected
            FROM (SELECT user_id, entry_id, expired FROM ledger_grant) g
            FULL JOIN (
                -- Expiries posted beyond the progress are not settled yet.
                SELECT e.user_id, (metadata ->> 'grant_id')::bigint AS entry_id, -sum(amount) AS credits
                FROM ledger_entry e JOIN ledger_grantprogress p ON p.user_id = e.user_id AND p.seq >= e.seq
                WHERE reason = 'expiry' GROUP BY 1, 2
            ) posted USING (user_id, entry_id)
            WHERE {_OF_USER} AND coalesce(g.expired, 0) <> coalesce(posted.credits, 0)""",
        "Of grant {entry_id} {expired} credits expired, but entries say {expected}.",
    ),
    Check(
        "lot_ends_as_recorded",
        f"""SELECT g.user_id, g.entry_id, g.expires_at, c.expires_after AS expected
            FROM (
                SELECT DISTINCT ON (user_id, grant_id) user_id, grant_id, expires_after
                FROM ledger_granttermschange WHERE {_OF_USER} ORDER BY user_id, grant_id, id DESC
            ) c LEFT JOIN ledger_grant g ON g.user_id = c.user_id AND g.entry_id = c.grant_id
            WHERE g.expires_at IS DISTINCT FROM c.expires_after""",
        "Grant {entry_id} ends at {expires_at}, but staff have let it end at {expected}.",
    ),
    Check(
        "expiry_of_lots_is_awaited",
        f"""SELECT user_id, g.entry_id, g.expires_at FROM ledger_grant g JOIN ledger_balance b USING (user_id)
            WHERE {_OF_USER} AND g.remaining > 0 AND g.expires_at < b.next_expiry_at""",
        "Grant {entry_id} expires before the next expiry that the balance knows.",
    ),
)
