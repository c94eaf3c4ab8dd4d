"""Reconciliation of the folded figures: they are what the ledger and the daily sums say."""

from __future__ import annotations

from ledger.services.reconciliation.checks import Check

# Days of which something was logged or refunded since they were folded, or shortly before, say nothing: the next fold
# counts that.
_SINCE = "(SELECT min(folded_at) - interval '10 minutes' FROM usage_dayfigures WHERE day >= bounds.first)"
_BOUNDS = """
    SELECT min(day) AS first, max(day) AS last FROM usage_dayfigures
    WHERE folded_at = (SELECT max(folded_at) FROM usage_dayfigures)
"""

FIGURE_CHECKS = (
    Check(
        "figures_are_the_sums",
        f"""SELECT NULL::bigint AS user_id, day, endpoint, coalesce(f.credits, 0) AS counted,
                coalesce(s.credits, 0) AS expected, coalesce(f.requests, 0) AS counted_requests,
                coalesce(s.requests, 0) AS requests
            FROM ({_BOUNDS}) bounds
            CROSS JOIN LATERAL (
                SELECT * FROM (
                    SELECT day, endpoint, requests, failed, credits FROM usage_endpointfigures
                    WHERE day BETWEEN bounds.first AND bounds.last
                ) folded
                FULL JOIN (
                    SELECT day, endpoint, sum(successful + failed + rejected) AS summed, sum(failed) AS summed_failed,
                        sum(credits) AS summed_credits
                    FROM usage_dailyusage WHERE day BETWEEN bounds.first AND bounds.last GROUP BY 1, 2
                ) sums USING (day, endpoint)
            ) f
            CROSS JOIN LATERAL (SELECT f.summed AS requests, f.summed_failed AS failed, f.summed_credits AS credits) s
            WHERE %(user)s::bigint IS NULL AND %(since)s::timestamptz IS NULL
                AND (f.requests, f.failed, f.credits) IS DISTINCT FROM (s.requests, s.failed, s.credits)
                AND NOT EXISTS (
                    SELECT FROM usage_requestlog l
                    WHERE l.recorded_at >= {_SINCE}
                        AND l.occurred_at >= f.day::timestamp AT TIME ZONE 'UTC'
                        AND l.occurred_at < (f.day + 1)::timestamp AT TIME ZONE 'UTC')
                AND NOT EXISTS (
                    SELECT FROM usage_refund r
                    WHERE r.created_at >= {_SINCE}
                        AND r.occurred_at >= f.day::timestamp AT TIME ZONE 'UTC'
                        AND r.occurred_at < (f.day + 1)::timestamp AT TIME ZONE 'UTC')""",
        "The figures of {day} have {counted} credits and {counted_requests} requests of {endpoint}, the daily sums "
        "{expected} and {requests}.",
    ),
    Check(
        "figures_are_the_credits",
        """SELECT f.user_id, f.seq, f.paid, f.promotional, e.balance_after - f.lost AS expected
            FROM usage_customerfigures f JOIN ledger_entry e ON e.user_id = f.user_id AND e.seq = f.seq
            WHERE (%(user)s::bigint IS NULL OR f.user_id = %(user)s)
                AND f.paid + f.promotional <> e.balance_after - f.lost""",
        "As of entry {seq} {paid} paid and {promotional} promotional credits are counted, but {expected} were there.",
    ),
    Check(
        "figures_are_the_grants",
        """SELECT f.user_id, f.seq, f.promotional, coalesce(g.promotional, 0) AS expected
            FROM usage_customerfigures f
            JOIN ledger_grantprogress p ON p.user_id = f.user_id AND p.seq = f.seq
            LEFT JOIN LATERAL (
                SELECT sum(remaining) AS promotional FROM ledger_grant
                WHERE user_id = f.user_id AND category = 'promotional' AND remaining > 0
            ) g ON true
            WHERE (%(user)s::bigint IS NULL OR f.user_id = %(user)s) AND f.lost = 0
                AND f.promotional <> coalesce(g.promotional, 0)
                AND NOT EXISTS (
                    SELECT FROM ledger_grant h WHERE h.user_id = f.user_id AND h.remaining > 0
                        AND h.expires_at <= f.folded_at)""",
        "As of entry {seq} {promotional} promotional credits are counted, but its grants have {expected}.",
    ),
)
