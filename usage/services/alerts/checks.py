"""Reconciliation of alerts: the ledger watches exactly the thresholds of enabled alerts."""

from __future__ import annotations

from ledger.services.reconciliation.checks import Check

# `depleted` is not armed before the customer has had credits.
ALERT_CHECKS = (
    Check(
        "alert_is_watched",
        """SELECT user_id, name, a.below AS wanted, t.below AS watched
            FROM (
                SELECT user_id, kind, CASE kind WHEN 'depleted' THEN 'alert-depleted' ELSE 'alert-' || id END AS name,
                    coalesce(credits, 0.000001) AS below
                FROM usage_alert
                WHERE kind IN ('balance_below', 'depleted') AND is_enabled
                    AND (%(user)s::bigint IS NULL OR user_id = %(user)s)
            ) a
            FULL JOIN (
                SELECT user_id, name::text AS name, below FROM ledger_threshold
                WHERE name LIKE 'alert-%%' AND (%(user)s::bigint IS NULL OR user_id = %(user)s)
            ) t USING (user_id, name)
            WHERE a.below IS DISTINCT FROM t.below AND NOT (t.below IS NULL AND a.kind = 'depleted')""",
        "Threshold {name} is to be {wanted} credits, but the ledger watches {watched}.",
    ),
)
