"""Reconciliation of adjustments: each approved request has its entry, and a second person where one was needed."""

from __future__ import annotations

from ledger.services.reconciliation.checks import Check

_OF_USER = "(%(user)s::bigint IS NULL OR {} = %(user)s)"

ADJUSTMENT_CHECKS = (
    Check(
        "adjustment_has_its_entry",
        # The reasons, so that an index finds the few entries that are not usage.
        f"""SELECT coalesce(a.user_id, e.user_id) AS user_id, a.request_id, e.id AS entry_id, e.amount AS posted,
                a.amount AS approved
            FROM (
                SELECT id AS request_id, user_id, amount, entry_id, reverses_id, author_id
                FROM ledger_adjustmentrequest WHERE state = 'approved' AND user_id IS NOT NULL
                UNION ALL
                SELECT q.id, l.user_id, l.amount, l.entry_id, NULL, q.author_id
                FROM ledger_adjustmentline l JOIN ledger_adjustmentrequest q ON q.id = l.request_id
                WHERE l.outcome = 'posted'
            ) a
            FULL JOIN (
                SELECT * FROM ledger_entry
                WHERE reason IN ('goodwill', 'correction', 'chargeback', 'reversal') AND operation = 'adjustment'
            ) e ON e.id = a.entry_id
            WHERE {_OF_USER.format("coalesce(a.user_id, e.user_id)")}
                AND (a.user_id, a.amount, a.reverses_id, a.author_id)
                    IS DISTINCT FROM (e.user_id, e.amount, e.reverses_id, e.actor_id)""",
        "Adjustment request {request_id} is approved for {approved} credits, but entry {entry_id} posted {posted}.",
    ),
    Check(
        "adjustment_has_its_second_person",
        f"""SELECT user_id, id AS request_id, author_id, decided_by_id FROM ledger_adjustmentrequest q
            WHERE {_OF_USER.format("user_id")} AND state IN ('approved', 'rejected')
                AND (decided_by_id = author_id
                     OR decided_by_id IS NULL AND (second_person_because IS NOT NULL OR user_id = author_id)
                     OR state = 'approved' AND (decided_by_id = user_id OR EXISTS (
                         SELECT FROM ledger_adjustmentline l
                         WHERE l.request_id = q.id AND l.user_id = coalesce(q.decided_by_id, q.author_id))))""",
        "Adjustment request {request_id} of {author_id} was decided by {decided_by_id}, who is no second person.",
    ),
    Check(
        "adjustments_of_a_day_add_up",
        """SELECT coalesce(d.author_id, q.author_id) AS user_id, coalesce(d.day, q.day) AS day,
                coalesce(d.credits, 0) AS counted, coalesce(q.credits, 0) AS posted
            FROM ledger_adjustmentday d
            FULL JOIN (
                SELECT author_id, (created_at AT TIME ZONE 'UTC')::date AS day, sum(total) AS credits
                FROM ledger_adjustmentrequest WHERE state = 'approved' AND second_person_because IS NULL GROUP BY 1, 2
            ) q ON (q.author_id, q.day) = (d.author_id, d.day)
            WHERE (%(user)s::bigint IS NULL OR coalesce(d.author_id, q.author_id) = %(user)s)
                AND coalesce(d.credits, 0) <> coalesce(q.credits, 0)""",
        "On {day} {counted} credits are counted as adjusted alone, but the requests add up to {posted}.",
    ),
    Check(
        "adjustment_file_is_its_lines",
        """SELECT q.author_id AS user_id, q.id AS request_id, q.total, coalesce(sum(abs(l.amount)), 0) AS lines
            FROM ledger_adjustmentrequest q LEFT JOIN ledger_adjustmentline l ON l.request_id = q.id
            WHERE q.user_id IS NULL AND (%(user)s::bigint IS NULL OR q.author_id = %(user)s)
            GROUP BY q.id HAVING (q.total, q.line_count) <> (coalesce(sum(abs(l.amount)), 0), count(l.id))""",
        "Adjustment request {request_id} is for {total} credits, but its lines add up to {lines}.",
    ),
)
