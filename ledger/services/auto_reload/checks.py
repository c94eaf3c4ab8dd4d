"""Reconciliation of thresholds and auto-reload: what is watched was asked for, what was bought was agreed to."""

from __future__ import annotations

from ledger.services.reconciliation.checks import Check

_OF = "(%(user)s::bigint IS NULL OR {user} = %(user)s)"

RELOAD_CHECKS = (
    Check(
        "watch_is_highest_threshold",
        f"""SELECT b.user_id, b.watch_below, armed.below AS expected
            FROM ledger_balance b
            LEFT JOIN (
                SELECT user_id, max(below) AS below FROM ledger_threshold
                WHERE crossed_at IS NULL AND {_OF.format(user="user_id")} GROUP BY user_id
            ) armed USING (user_id)
            WHERE {_OF.format(user="b.user_id")} AND b.watch_below IS DISTINCT FROM armed.below""",
        "Available credits are watched below {watch_below}, but the highest threshold that is armed is {expected}.",
    ),
    Check(
        "reload_has_its_threshold",
        f"""SELECT coalesce(r.user_id, t.user_id) AS user_id, r.threshold, t.below AS watched
            FROM (SELECT * FROM ledger_autoreload WHERE enabled AND {_OF.format(user="user_id")}) r
            FULL JOIN (
                SELECT * FROM ledger_threshold WHERE name = 'auto_reload' AND {_OF.format(user="user_id")}
            ) t USING (user_id)
            WHERE r.threshold IS DISTINCT FROM t.below""",
        "Auto-reload that is on buys below {threshold} credits, but {watched} is watched.",
    ),
    Check(
        "one_reload_at_a_time",
        f"""SELECT user_id, count(*) AS payments FROM ledger_payment
            WHERE kind = 'auto_reload' AND state IN ('pending', 'requires_action') AND {_OF.format(user="user_id")}
            GROUP BY user_id HAVING count(*) > 1""",
        "{payments} payments of auto-reload are in progress at once.",
    ),
    Check(
        "reload_was_agreed_to",
        f"""SELECT p.user_id, p.id AS payment_id
            FROM ledger_payment p
            LEFT JOIN ledger_autoreloadevent attempt ON attempt.payment_id = p.id AND attempt.user_id = p.user_id
            WHERE p.kind = 'auto_reload' AND {_OF.format(user="p.user_id")}
                AND (%(since)s::timestamptz IS NULL OR coalesce(p.settled_at, p.created_at) >= %(since)s)
                AND NOT EXISTS (
                    SELECT FROM ledger_autoreloadevent agreed
                    WHERE agreed.user_id = p.user_id AND agreed.id < attempt.id
                        AND agreed.kind IN ('enabled', 'changed') AND agreed.actor_id = p.user_id
                        AND agreed.sentence = attempt.sentence)""",
        "Payment {payment_id} of auto-reload follows no consent of its customer's.",
    ),
    Check(
        "reload_entry_is_its_payments",
        f"""SELECT coalesce(e.user_id, p.user_id) AS user_id, e.id AS entry_id, p.id AS payment_id, e.reason, p.kind
            FROM ledger_entry e FULL JOIN ledger_payment p ON p.entry_id = e.id AND p.user_id = e.user_id
            WHERE (e.reason = 'auto_reload' OR p.kind = 'auto_reload' AND p.state = 'succeeded')
                AND (e.reason = 'auto_reload') IS DISTINCT FROM (p.kind = 'auto_reload')
                AND {_OF.format(user="coalesce(e.user_id, p.user_id)")}
                AND (%(since)s::timestamptz IS NULL OR coalesce(e.created_at, p.settled_at) >= %(since)s)""",
        "Entry {entry_id} says {reason}, but its payment {payment_id} is a {kind}.",
    ),
)
