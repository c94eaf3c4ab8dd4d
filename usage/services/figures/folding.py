"""Fold the figures of the front page from the ledger and the daily sums: repeatable, and it catches up by itself.

Each run makes the whole window anew and writes only what differs, so that late imports, refunds of old requests and a
job that was away for days are all the same to it.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db import connection, transaction

from config.rounds import Round
from usage.services.figures.customers import customers_behind, fold_credits, fold_use
from usage.services.figures.windows import KEPT, SILENT, first_of_month, midnight, window_of


class Folded(NamedTuple):
    """What a run has folded: days of the window, customers whose credits were counted, and those still to be."""

    days: int
    customers: int
    behind: int


# Nothing is in flight for so long: an entry's time and its id may be in another order than those of others.
_MARGIN = dt.timedelta(hours=1)
_BY_ENDPOINT = """
    WITH made AS (
        SELECT day, endpoint, sum(successful + failed + rejected)::bigint AS requests, sum(failed)::bigint AS failed,
            sum(credits) AS credits
        FROM usage_dailyusage WHERE day BETWEEN %(first)s AND %(last)s GROUP BY 1, 2
    ), gone AS (
        DELETE FROM usage_endpointfigures f
        WHERE day BETWEEN %(first)s AND %(last)s
            AND NOT EXISTS (SELECT FROM made WHERE made.day = f.day AND made.endpoint = f.endpoint)
    )
    INSERT INTO usage_endpointfigures AS f (day, endpoint, requests, failed, credits)
    SELECT day, endpoint, requests, failed, credits FROM made
    ON CONFLICT (day, endpoint) DO UPDATE SET
        requests = excluded.requests, failed = excluded.failed, credits = excluded.credits
    WHERE (f.requests, f.failed, f.credits) IS DISTINCT FROM (excluded.requests, excluded.failed, excluded.credits)
"""
# The index of entries that are not usage has (reason, id): what was bought since a time is at its end.
_BOUGHT = """
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, sum(amount) AS credits FROM ledger_entry
    WHERE reason = '{reason}' AND created_at >= %(from)s AND id > coalesce((
        SELECT id FROM ledger_entry WHERE reason = '{reason}' AND created_at < %(before)s ORDER BY id DESC LIMIT 1), 0)
    GROUP BY 1
"""
_DAYS = f"""
    INSERT INTO usage_dayfigures AS f (
        day, sold, reloaded, spent, requests, failed, new_customers, lost_customers, folded_at)
    SELECT d.day, coalesce(sold.credits, 0), coalesce(reloaded.credits, 0), coalesce(used.credits, 0),
        coalesce(used.requests, 0), coalesce(used.failed, 0), coalesce(new.customers, 0), coalesce(lost.customers, 0),
        %(now)s
    FROM (SELECT generate_series(%(first)s::date, %(last)s::date, '1 day')::date AS day) d
    LEFT JOIN ({_BOUGHT.format(reason="purchase")}) sold USING (day)
    LEFT JOIN ({_BOUGHT.format(reason="auto_reload")}) reloaded USING (day)
    LEFT JOIN (
        SELECT day, sum(credits) AS credits, sum(requests) AS requests, sum(failed) AS failed
        FROM usage_endpointfigures WHERE day BETWEEN %(first)s AND %(last)s GROUP BY 1
    ) used USING (day)
    LEFT JOIN (
        SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS customers FROM accounts_user
        WHERE NOT is_staff AND created_at >= %(from)s GROUP BY 1
    ) new USING (day)
    LEFT JOIN (
        SELECT last_used_on + {SILENT} AS day, count(*) AS customers FROM usage_customerfigures
        WHERE last_used_on BETWEEN %(first)s::date - {SILENT} AND %(last)s::date - {SILENT} GROUP BY 1
    ) lost USING (day)
    ON CONFLICT (day) DO UPDATE SET
        sold = excluded.sold, reloaded = excluded.reloaded, spent = excluded.spent, requests = excluded.requests,
        failed = excluded.failed, new_customers = excluded.new_customers, lost_customers = excluded.lost_customers,
        folded_at = excluded.folded_at
"""
_STANDING = """
    UPDATE usage_dayfigures SET
        (paid, promotional) = (
            SELECT coalesce(sum(paid), 0), coalesce(sum(promotional), 0) FROM usage_customerfigures),
        (reserved, without_credits) = (
            SELECT coalesce(sum(reserved), 0) - (
                SELECT coalesce(sum(credits - captured), 0) FROM ledger_hold
                WHERE status = 'open' AND expires_at <= %(now)s), count(*) FILTER (WHERE balance <= 0)
            FROM ledger_balance),
        behind = %(behind)s, folded_at = %(now)s
    WHERE day = %(last)s
"""


def fold_figures(*, now: dt.datetime, customers: Round) -> Folded:
    """Fold the figures as of `now`. Repeating it changes nothing more; the caller holds the run lock.

    Customers whose credits cannot be counted are failed turns, and are counted by a later run.
    """
    first, last = window_of(now.astimezone(dt.UTC).date())
    asked = {
        "first": first,
        "last": last,
        "now": now,
        "from": midnight(first),
        "before": midnight(first) - _MARGIN,
    }
    fold_use(first=first, last=last, month=first_of_month(last), now=now)
    counted = fold_credits(now=now, customers=customers)
    behind = customers_behind(now=now)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BY_ENDPOINT, asked)
        cursor.execute(_DAYS, asked)
        cursor.execute(_STANDING, {**asked, "behind": behind})
        for table in ("usage_endpointfigures", "usage_dayfigures"):
            cursor.execute(f"DELETE FROM {table} WHERE day < %s", [last - KEPT])
    return Folded((last - first).days + 1, counted, behind)
