"""Entries, holds and payments by the names that callers gave them, for the one search of the back office.

The ledger's indexes begin with the customer, which keeps charges cheap. Without a customer a name is therefore asked
for once for each of the newest MOST_CUSTOMERS customers, in their indexes, and among the latest LATEST entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import connection

from config.backoffice.exact_search import LATEST

MOST_CUSTOMERS = 10_000

_ASKED = """
    WITH asked AS MATERIALIZED (
        SELECT user_id FROM ledger_balance
        WHERE %(users)s::bigint[] IS NULL OR user_id = ANY(%(users)s::bigint[])
        ORDER BY user_id DESC LIMIT %(customers)s
    )
"""
_OF_EACH = """(
    SELECT found.id FROM asked CROSS JOIN LATERAL (
        SELECT id FROM {table} WHERE user_id = asked.user_id AND {condition} LIMIT %(most)s
    ) found LIMIT %(most)s
)"""
_REFERENCES = _OF_EACH.format(table="ledger_entry", condition="reference = %(name)s")
_CHARGES = _OF_EACH.format(table="ledger_entry", condition="operation = 'charge' AND idempotency_key = %(name)s")
# The operations of one customer, found one after another: the index begins with customer and operation.
_ANY_OPERATION = """(
    SELECT found.id FROM asked CROSS JOIN LATERAL (
        WITH RECURSIVE operations AS (
            SELECT min(operation) AS operation FROM ledger_entry WHERE user_id = asked.user_id
            UNION ALL
            SELECT (SELECT min(e.operation) FROM ledger_entry e
                    WHERE e.user_id = asked.user_id AND e.operation > o.operation)
            FROM operations o WHERE o.operation IS NOT NULL
        )
        SELECT e.id FROM operations o JOIN ledger_entry e ON e.user_id = asked.user_id AND e.operation = o.operation
            AND e.idempotency_key = %(name)s
    ) found LIMIT %(most)s
)"""
_LATEST = """(
    SELECT id FROM ledger_entry WHERE id > (SELECT max(id) FROM ledger_entry) - %(latest)s
        AND idempotency_key = %(name)s LIMIT %(most)s
)"""
_HOLDS = _OF_EACH.format(table="ledger_hold", condition="idempotency_key = %(name)s")
_PAYMENTS = _OF_EACH.format(table="ledger_payment", condition="idempotency_key = %(name)s")
_NAMED = f"""
    {_ASKED}
    SELECT 'entry', id FROM ({{entries}}) entries
    UNION ALL SELECT 'hold', id FROM ({_HOLDS}) holds
    UNION ALL SELECT 'payment', id FROM ({_PAYMENTS}) payments
"""
_OF_SOME = _NAMED.format(entries=f"{_REFERENCES} UNION {_ANY_OPERATION}")
_OF_ALL = _NAMED.format(entries=f"{_REFERENCES} UNION {_CHARGES} UNION {_LATEST}")


@dataclass
class Named:
    """The ids of what has a name: entries by reference or idempotency key, holds and payments by idempotency key."""

    entry: list[int] = field(default_factory=list)
    hold: list[int] = field(default_factory=list)
    payment: list[int] = field(default_factory=list)


def named(name: str, *, customers: Sequence[int] | None, most: int) -> Named:
    """Return what has this name, at most `most` of each kind, in one statement."""
    asked = {
        "name": name,
        "users": None if customers is None else list(customers),
        "customers": MOST_CUSTOMERS,
        "latest": LATEST,
        "most": most,
    }
    found = Named()
    with connection.cursor() as cursor:
        cursor.execute(_OF_ALL if customers is None else _OF_SOME, asked)
        for kind, row_id in cursor.fetchall():
            getattr(found, kind).append(row_id)
    return found
