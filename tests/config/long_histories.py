"""An account with a long history, inserted directly so that it takes seconds: the seals are empty.

Everything is done by the owner in one transaction, which is rolled back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone

from accounts.key_format import hash_of
from accounts.services.keys.limits import KeyLimits
from tests.factories import ApiKeyFactory, UserFactory
from tests.module_data import as_owner
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.services.prices import set_price

CUSTOMERS = 500
DAYS = 60
STATISTICS = ("fresh statistics", "statistics of a young installation")

_ENTRIES = """
    INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, reference, metadata,
                              operation, idempotency_key, fingerprint, created_at, seal)
    SELECT u.id, g, CASE WHEN g %% 1000 = 1 THEN 'credit' ELSE 'debit' END,
        CASE WHEN g %% 1000 = 1 THEN 'grant' ELSE 'usage' END, CASE WHEN g %% 1000 = 1 THEN 1000 ELSE -1 END, 1000,
        'search', 'request-' || g, '{}', 'charge', 'key-' || g, '\\x00',
        now() - interval '1 day' * %(days)s * (1 - g / %(rows)s::float8), ''
    FROM accounts_user u, generate_series(%(first)s, %(rows)s) g WHERE u.id = ANY(%(users)s)
"""
_BALANCES = """
    INSERT INTO ledger_balance (user_id, balance, granted_total, seq, updated_at)
    SELECT id, 100000, 100000, %(rows)s, now() FROM accounts_user WHERE id = ANY(%(users)s)
    ON CONFLICT (user_id) DO UPDATE SET balance = excluded.balance, seq = excluded.seq, updated_at = excluded.updated_at
"""
# Every other request was made with a key.
_REQUESTS = """
    INSERT INTO usage_requestlog (
        user_id, api_key_id, endpoint, path, method, status, credits, entry_id, source, occurred_at)
    SELECT u.id, CASE WHEN g %% 2 = 0 THEN %(key)s::bigint END,
        (ARRAY['search', 'detect', '*', '/v1/items/{id}'])[1 + g %% 4], '/x', 'GET', 200, 1, 1, 'plans',
        now() - interval '1 day' * %(days)s * (1 - g / %(rows)s::float8)
    FROM accounts_user u, generate_series(%(first)s, %(rows)s) g WHERE u.id = ANY(%(users)s)
"""
_SUMS = """
    INSERT INTO usage_dailyusage (user_id, day, endpoint, successful, failed, rejected, credits)
    SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date, endpoint, count(*), 0, 0, sum(credits)
    FROM usage_requestlog WHERE source = 'plans' AND user_id = ANY(%(users)s) GROUP BY 1, 2, 3
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET successful = excluded.successful, credits = excluded.credits
"""
# The last fifty are still open.
_HOLDS = """
    INSERT INTO ledger_hold (
        user_id, api_key_id, credits, status, expires_at, settled_at, idempotency_key, fingerprint, created_at)
    SELECT u.id, %(key)s, 1, CASE WHEN is_open THEN 'open' ELSE 'released' END, now() + interval '1 day' * is_open::int,
        CASE WHEN NOT is_open THEN now() END, 'hold-' || g, '\\x00', now() - interval '1 hour'
    FROM accounts_user u, generate_series(%(first)s, greatest(%(rows)s / 10, 1)) g,
        LATERAL (SELECT g > %(rows)s / 10 - 50 AND g > 1 AS is_open) state
    WHERE u.id = ANY(%(users)s)
"""
_OPERATIONS = """
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
    SELECT u.id, (ARRAY['charge', 'release_hold', 'extend_hold', 'capture_hold'])[1 + g %% 4], 'free-' || g, '\\x00', 1
    FROM accounts_user u, generate_series(%(first)s, greatest(%(rows)s / 4, 1)) g WHERE u.id = ANY(%(users)s)
"""
_EVENTS = """
    INSERT INTO usage_eventkey (user_id, event_key)
    SELECT u.id, sha256(('event-' || g)::bytea)
    FROM accounts_user u, generate_series(%(first)s, greatest(%(rows)s / 4, 1)) g WHERE u.id = ANY(%(users)s)
"""
_WRITTEN = (_ENTRIES, _BALANCES, _REQUESTS, _SUMS, _HOLDS, _OPERATIONS, _EVENTS)
_TABLES = (
    "ledger_entry, ledger_balance, ledger_hold, ledger_operationkey, usage_requestlog, usage_dailyusage,"
    " usage_eventkey, usage_keyspending, usage_refund, ledger_grant, ledger_grantdraw, accounts_apikey, accounts_user"
)


class Account(NamedTuple):
    """The customer with the long history and the texts of two keys; the second has a spending limit."""

    id: int
    key: str
    limited_key: str
    is_young: bool
    requests_a_day: int


@contextmanager
def long_history(*, rows: int, statistics: str) -> Iterator[Account]:
    """Run the block as the owner, in a transaction in which an account has `rows` entries and requests.

    Statistics are taken after it has grown or, of a young installation, when each customer has one entry.
    """
    with as_owner() as owner:
        with owner.cursor() as cursor:  # remains of earlier tests in the indexes are unlike any installation
            cursor.execute(f"VACUUM {_TABLES}")
            for table in _TABLES.split(", "):
                cursor.execute(f"REINDEX TABLE {table}")
        with transaction.atomic():
            with owner.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")
                yield _grow(cursor, rows=rows, is_young=statistics == STATISTICS[1])
            transaction.set_rollback(True)
        with owner.cursor() as cursor:  # frees the space: the next tests count reads, too
            cursor.execute(f"VACUUM (ANALYZE) {_TABLES}")


def _grow(cursor: Any, *, rows: int, is_young: bool) -> Account:
    now = timezone.now()
    for days in (0, 31, 62):
        cursor.execute("SELECT usage_ensure_partition(%s)", [now - dt.timedelta(days=days)])
    cursor.execute(
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 GROUP BY 1"
    )
    for (table,) in cursor.fetchall():
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    cursor.execute(
        "INSERT INTO accounts_user (email, full_name, password, is_active, is_staff, is_superuser, created_at)"
        " SELECT 'plans' || g || '@example.com', '', '', true, false, false, now() FROM generate_series(1, %s) g"
        " RETURNING id",
        [CUSTOMERS],
    )
    customers = [id for (id,) in cursor.fetchall()]
    big = UserFactory(password=None)
    key = ApiKeyFactory(user=big).raw
    limited = ApiKeyFactory(user=big, limits=KeyLimits(spending_limit=Decimal(999_999_999)))
    set_price(endpoint="search", credits=Decimal(1), effective_from=now - dt.timedelta(days=90))
    _write(cursor, [*customers, big.pk], key=None, first=1, rows=1)
    if is_young:
        cursor.execute(f"ANALYZE {_TABLES}")
    _write(cursor, [big.pk], key=limited.api_key.pk, first=2, rows=rows)
    if not is_young:
        cursor.execute(f"ANALYZE {_TABLES}")
    # The first use of the limited key in this month counts what the log has.
    charge_request(
        AskedCharge(key_hash=hash_of(limited.raw), endpoint="search", idempotency_key="the first of the month")
    )
    return Account(big.pk, key, limited.raw, is_young, rows // DAYS)


def _write(cursor: Any, users: list[int], *, key: int | None, first: int, rows: int) -> None:
    for statement in _WRITTEN:
        cursor.execute(statement, {"users": users, "key": key, "first": first, "rows": rows, "days": DAYS})
