"""Long sealed histories in seconds: the owner inserts entries by one statement, sealed as the ledger seals them."""

from __future__ import annotations

import psycopg

from tests.ledger.tampering import unguarded

# ledger_seal() takes the previous seal and the fields of an entry. As a window aggregate it computes the whole chain.
_SEALS = """
    CREATE AGGREGATE pg_temp.chain_of_seals(
        bigint, bigint, text, text, numeric, numeric, text, text, jsonb, text, text, bytea, bigint, bigint, timestamptz
    ) (SFUNC = public.ledger_seal, STYPE = bytea)
"""
_ENTRIES = """
    INSERT INTO ledger_entry (
        id, user_id, seq, type, reason, amount, balance_after, description, metadata, operation, idempotency_key,
        fingerprint, reverses_id, created_at, seal)
    SELECT id, user_id, seq, type, reason, amount, balance_after, 'bulk', '{}', 'bulk', seq::text, '\\x00', reverses_id,
        created_at, pg_temp.chain_of_seals(
            user_id, seq, type, reason, amount, balance_after, 'bulk', NULL, '{}', 'bulk', seq::text, '\\x00',
            reverses_id, NULL, created_at) OVER (ORDER BY seq)
    FROM (
        SELECT %(first_id)s::bigint + n - 1 AS id, b.user_id, b.seq + n AS seq,
            CASE WHEN gives_back THEN 'credit' ELSE 'debit' END AS type,
            CASE WHEN gives_back THEN 'refund' ELSE 'usage' END AS reason,
            CASE WHEN gives_back THEN %(credits)s::numeric ELSE -%(credits)s::numeric END AS amount,
            b.balance + sum(CASE WHEN gives_back THEN %(credits)s::numeric ELSE -%(credits)s::numeric END)
                OVER (ORDER BY n) AS balance_after,
            CASE WHEN gives_back THEN %(first_id)s::bigint + n - 2 END AS reverses_id,
            greatest(b.updated_at, now()) AS created_at
        FROM ledger_balance b, generate_series(1, %(entries)s::bigint) AS n,
            LATERAL (SELECT %(in_pairs)s AND n %% 2 = 0 AS gives_back) turn
        WHERE b.user_id = %(user)s
    ) made
"""
_BALANCE = """
    UPDATE ledger_balance b SET (seq, balance, seal, updated_at) = (
        SELECT seq, balance_after, seal, created_at FROM ledger_entry e
        WHERE e.user_id = b.user_id ORDER BY e.seq DESC LIMIT 1)
    WHERE user_id = %(user)s
"""


def write_debits(user_id: int, entries: int, *, credits: str = "0.000001") -> None:
    """Insert that many debits, each of that many credits, for a customer who has a balance."""
    with unguarded() as connection:
        _write(connection, user_id, entries, credits, in_pairs=False)


def write_refunded_debits(user_id: int, pairs: int, *, credits: str = "1") -> None:
    """Insert that many debits for a customer who has a balance, each followed by a full refund."""
    with unguarded() as connection:
        _write(connection, user_id, 2 * pairs, credits, in_pairs=True)


def _write(connection: psycopg.Connection, user_id: int, entries: int, credits: str, *, in_pairs: bool) -> None:
    (seal,) = connection.execute("SELECT seal FROM ledger_balance WHERE user_id = %s", [user_id]).fetchone() or (b"",)
    (last_id,) = connection.execute(
        "SELECT setval('ledger_entry_id_seq', nextval('ledger_entry_id_seq') + %s)", [entries]
    ).fetchone() or (0,)
    asked = {
        "user": user_id,
        "entries": entries,
        "credits": credits,
        "in_pairs": in_pairs,
        "first_id": last_id - entries,
    }
    with connection.transaction():
        connection.execute(_SEALS[: _SEALS.rindex(")")] + f", INITCOND = '\\x{bytes(seal).hex()}')")
        connection.execute(_ENTRIES, asked)
        connection.execute(_BALANCE, asked)
        connection.execute(
            "DROP AGGREGATE pg_temp.chain_of_seals(bigint, bigint, text, text, numeric, numeric, text,"
            " text, jsonb, text, text, bytea, bigint, bigint, timestamptz)"
        )
