"""Every SQL function, type and trigger of a database, as PostgreSQL prints it."""

from __future__ import annotations

import psycopg

_OURS = "^(ledger|usage)_"
_FUNCTIONS = """
    SELECT 'FUNCTION ' || proname, pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = %(schema)s::regnamespace AND proname ~ %(ours)s
"""
_TYPES = r"""
    SELECT 'TYPE ' || c.relname,
        string_agg(a.attname || ' ' || regexp_replace(format_type(a.atttypid, a.atttypmod), '^(public|again)\.', ''),
            ', ' ORDER BY a.attnum)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'c' AND c.relname ~ %(ours)s
    GROUP BY c.relname
"""
_TRIGGERS = """
    SELECT format('TRIGGER %%s ON %%s', tgname, c.relname), pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT tgisinternal AND p.proname ~ %(ours)s AND c.relnamespace = %(schema)s::regnamespace
        AND NOT c.relispartition
"""


def snapshot(connection: psycopg.Connection, schema: str = "public") -> dict[str, str]:
    """Return the definition of each function, type and trigger by its name."""
    found: dict[str, str] = {}
    for query in (_FUNCTIONS, _TYPES, _TRIGGERS):
        found |= dict(connection.execute(query, {"schema": schema, "ours": _OURS}).fetchall())
    return found


def types_of(connection: psycopg.Connection, schema: str) -> dict[str, str]:
    """Return only the composite types of a schema."""
    return {name: text for name, text in snapshot(connection, schema).items() if name.startswith("TYPE ")}
