"""Look-ups over all customers, for support staff who have a reference and no customer.

The ledger's indexes begin with the customer, which keeps charges cheap. A look-up therefore asks them once for each
customer: some microseconds a customer, however long the ledger is.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import connection

MOST_FOUND = 1_000

_CUSTOMERS = """
    FROM ledger_balance b CROSS JOIN LATERAL ({inner} LIMIT %(most)s) found
    WHERE %(users)s::bigint[] IS NULL OR b.user_id = ANY(%(users)s::bigint[])
    LIMIT %(most)s
"""
_ENTRIES = f"""SELECT found.id, found.charge_id {
    _CUSTOMERS.format(
        inner='''
    SELECT e.id, coalesce(e.metadata ->> 'tollbook_charge_id', e.metadata ->> 'charge_id')::bigint AS charge_id
    FROM ledger_entry e
    WHERE e.user_id = b.user_id AND e.reference = %(term)s'''
    )
}"""
_HOLDS = f"""SELECT found.id {
    _CUSTOMERS.format(
        inner='''
    SELECT h.id FROM ledger_hold h WHERE h.user_id = b.user_id AND h.idempotency_key = %(term)s'''
    )
}"""


def entries_with_reference(reference: str, customers: Collection[int] | None) -> list[int]:
    """Return the ids of entries with this reference, of these customers or of all."""
    return [entry_id for entry_id, _ in _rows(_ENTRIES, reference, customers)]


def charges_with_reference(reference: str, customers: Collection[int] | None) -> list[int]:
    """Return the ids of requests by the reference of the debit that each paid for itself (its request id if none)."""
    return [charge_id for _, charge_id in _rows(_ENTRIES, reference, customers) if charge_id is not None]


def holds_with_key(key: str, customers: Collection[int] | None) -> list[int]:
    """Return the ids of holds by the key under which they were opened."""
    return [hold_id for (hold_id,) in _rows(_HOLDS, key, customers)]


def _rows(query: str, term: str, customers: Collection[int] | None) -> list[tuple[Any, ...]]:
    users = None if customers is None else list(customers)
    with connection.cursor() as cursor:
        cursor.execute(query, {"term": term, "users": users, "most": MOST_FOUND})
        return list(cursor.fetchall())
