"""Entries, holds and payments by the names that callers gave them, for the one search of the back office.

The ledger's indexes begin with the customer, which keeps charges cheap. Without a customer a name is therefore asked
for once for each of the newest MOST_CUSTOMERS customers, in their indexes, and among the latest LATEST entries.
"""

from __future__ import annotations

from collections.abc import Sequence

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
_ENTRIES_OF_SOME = f"{_ASKED} {_REFERENCES} UNION {_ANY_OPERATION}"
_ENTRIES_OF_ALL = f"{_ASKED} {_REFERENCES} UNION {_CHARGES} UNION {_LATEST}"
_HOLDS = _ASKED + _OF_EACH.format(table="ledger_hold", condition="idempotency_key = %(name)s")
_PAYMENTS = _ASKED + _OF_EACH.format(table="ledger_payment", condition="idempotency_key = %(name)s")


def entries_named(name: str, *, customers: Sequence[int] | None, most: int) -> list[int]:
    """Return the ids of entries with this reference or idempotency key."""
    return _ids(_ENTRIES_OF_ALL if customers is None else _ENTRIES_OF_SOME, name, customers, most)


def holds_named(key: str, *, customers: Sequence[int] | None, most: int) -> list[int]:
    """Return the ids of holds that were opened under this idempotency key."""
    return _ids(_HOLDS, key, customers, most)


def payments_named(key: str, *, customers: Sequence[int] | None, most: int) -> list[int]:
    """Return the ids of payments that were asked for under this idempotency key."""
    return _ids(_PAYMENTS, key, customers, most)


def _ids(query: str, name: str, customers: Sequence[int] | None, most: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            query,
            {
                "name": name,
                "users": None if customers is None else list(customers),
                "customers": MOST_CUSTOMERS,
                "latest": LATEST,
                "most": most,
            },
        )
        return [found for (found,) in cursor.fetchall()]
