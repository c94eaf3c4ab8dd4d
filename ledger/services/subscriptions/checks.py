"""Reconciliation of subscriptions: every period that has begun brought its credits, once."""

from __future__ import annotations

from ledger.services.reconciliation.checks import Check

_OF_USER = "(%(user)s::bigint IS NULL OR user_id = %(user)s)"

SUBSCRIPTION_CHECKS = (
    Check(
        "period_is_its_entries",
        f"""SELECT p.user_id, p.id AS period_id, p.credits, coalesce(sum(e.amount), 0) AS brought
            FROM (SELECT * FROM ledger_subscriptionperiod WHERE {_OF_USER}) p
            LEFT JOIN ledger_entry e ON e.id IN (p.entry_id, p.kept_entry_id)
                AND e.user_id = p.user_id AND e.operation = 'subscription' AND e.amount > 0
            GROUP BY p.user_id, p.id, p.credits HAVING p.credits <> coalesce(sum(e.amount), 0)""",
        "Period {period_id} brought {credits} credits, but its entries {brought}.",
    ),
    Check(
        "upgrade_is_its_entries",
        f"""SELECT c.user_id, c.id AS change_id, c.credits, coalesce(sum(e.amount), 0) AS brought
            FROM (SELECT * FROM ledger_subscriptionchange WHERE {_OF_USER}) c
            LEFT JOIN ledger_entry e ON e.id IN (c.entry_id, c.kept_entry_id)
                AND e.user_id = c.user_id AND e.operation = 'subscription' AND e.amount > 0
            GROUP BY c.user_id, c.id, c.credits HAVING c.credits <> coalesce(sum(e.amount), 0)""",
        "Change {change_id} of a subscription brought {credits} credits, but its entries {brought}.",
    ),
    Check(
        "entry_is_of_one_period",
        f"""SELECT e.user_id, e.id AS entry_id, count(told.entry_id) AS told
            FROM (SELECT * FROM ledger_entry WHERE operation = 'subscription' AND {_OF_USER}) e
            LEFT JOIN (
                SELECT user_id, unnest(ARRAY[entry_id, kept_entry_id]) AS entry_id FROM ledger_subscriptionperiod
                UNION ALL
                SELECT user_id, unnest(ARRAY[entry_id, kept_entry_id]) FROM ledger_subscriptionchange
            ) told ON told.user_id = e.user_id AND told.entry_id = e.id
            JOIN accounts_subscription s  -- without an anchor its periods were lost when a release was taken back
                ON s.id::text = split_part(e.idempotency_key, ':', 1) AND s.anchor_at IS NOT NULL
            GROUP BY e.user_id, e.id HAVING count(told.entry_id) <> 1""",
        "Entry {entry_id} of a subscription is named by {told} periods and changes.",
    ),
    Check(
        "period_follows_period",
        f"""SELECT user_id, subscription_id, starts_at, ends_before
            FROM (
                SELECT user_id, subscription_id, starts_at,
                    lag(ends_at) OVER (PARTITION BY user_id, subscription_id ORDER BY starts_at) AS ends_before
                FROM ledger_subscriptionperiod WHERE {_OF_USER}
            ) p
            WHERE starts_at < ends_before OR starts_at > ends_before AND NOT EXISTS (
                SELECT FROM ledger_subscriptionchange c
                WHERE c.user_id = p.user_id AND c.subscription_id = p.subscription_id AND c.kind = 'resume'
                    AND c.effective_at = p.starts_at)""",
        "Subscription {subscription_id} has a period from {starts_at}, but the one before ends at {ends_before}.",
    ),
    Check(
        "running_period_is_written",
        f"""SELECT s.user_id, s.id AS subscription_id, s.current_period_start AS starts_at
            FROM (SELECT * FROM accounts_subscription WHERE anchor_at IS NOT NULL AND {_OF_USER}) s
            WHERE NOT EXISTS (
                SELECT FROM ledger_subscriptionperiod p
                WHERE p.user_id = s.user_id AND p.subscription_id = s.id AND p.starts_at = s.current_period_start
                    AND p.ends_at = s.current_period_end)
                OR s.current_period_start < (
                    SELECT max(starts_at) FROM ledger_subscriptionperiod p
                    WHERE p.user_id = s.user_id AND p.subscription_id = s.id)""",
        "Subscription {subscription_id} is in a period from {starts_at}, which is not the latest that is written.",
    ),
    Check(
        "renewal_is_awaited",
        f"""SELECT user_id, due.at AS due_at FROM (
                SELECT user_id, CASE status WHEN 'paused' THEN ends_at ELSE current_period_end END AS at
                FROM accounts_subscription WHERE status IN ('active', 'paused') AND anchor_at IS NOT NULL AND {_OF_USER}
            ) due LEFT JOIN ledger_balance b USING (user_id)
            WHERE due.at < coalesce(b.next_expiry_at, 'infinity')""",
        "The subscription takes its next step at {due_at}, before the next expiry that the balance knows.",
    ),
)
