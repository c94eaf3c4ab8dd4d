"""A large installation for measurements: one customer with most of the entries and requests, and 10,000 others.

Written by the owner with plain SQL, since the services would take an hour; seals are only of the right length.
"""

from __future__ import annotations

import psycopg

DAYS = 90

_STATEMENTS = (
    """INSERT INTO accounts_user (email, password, full_name, is_superuser, is_active, is_staff, created_at)
        SELECT 'customer' || n || '@example.com', '!', 'Customer ' || n, false, true, false,
            now() - make_interval(days => 1 + (n %% 700)::int)
        FROM generate_series(1, %(customers)s + 1) n""",
    """INSERT INTO accounts_apikey (user_id, name, prefix, last4, key_hash, scopes, created_at, last_used_at)
        SELECT id, 'Production', lpad(to_hex(id), 12, '0'), 'abcd', sha256(email::bytea), '{account:read}', created_at,
            now() - make_interval(hours => (id %% 2000)::int)
        FROM accounts_user""",
    """INSERT INTO accounts_plan (code, name, credits_per_period, is_active)
        VALUES ('growth', 'Growth', 10000, true)""",
    """INSERT INTO accounts_subscription (user_id, plan_id, status, billing_interval, credits_per_period,
            current_period_start, current_period_end, cancel_at_period_end, started_at, pending_interval)
        SELECT u.id, p.id, 'active', 'monthly', 10000, now() - interval '9 days', now() + interval '21 days', false,
            now() - interval '9 days', ''
        FROM accounts_user u, accounts_plan p WHERE u.id %% 2 = 0""",
    """INSERT INTO usage_price (endpoint, method, kind, pattern, slashes, weight, credits, charge_failures,
            effective_from)
        SELECT 'endpoint-' || n, '', 'code', '', 0, 0, 1, false, now() - interval '200 days'
        FROM generate_series(1, 500) n""",
    """INSERT INTO ledger_balance (user_id, balance, seq, granted_total, seal)
        SELECT id, CASE WHEN id %% 50 = 0 THEN 0 ELSE 1000 END, 1, 1000, sha256('') FROM accounts_user""",
    """INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, reference, metadata,
            operation, idempotency_key, fingerprint, created_at, seal)
        SELECT id, 1, 'credit', 'grant', 1000, 1000, 'Granted', 'payment-' || id, '{}', 'grant_credits', 'grant-' || id,
            sha256(''), now() - make_interval(days => %(days)s), sha256('')
        FROM accounts_user""",
    """INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, reference, metadata,
            operation, idempotency_key, fingerprint, created_at, seal)
        SELECT u.id, 1 + n,
            CASE WHEN n %% 5000 = 0 THEN 'credit' WHEN n %% 20000 = 1 THEN 'adjustment' ELSE 'debit' END,
            CASE WHEN n %% 5000 = 0 THEN 'purchase' WHEN n %% 20000 = 1 THEN 'goodwill' ELSE 'usage' END,
            CASE WHEN n %% 5000 = 0 THEN 1000 ELSE -0.5 END * CASE WHEN n %% 20000 = 1 THEN -1 ELSE 1 END, 1000,
            'endpoint-' || n %% 500, 'reference-' || n,
            jsonb_build_object('charge_id', n, 'endpoint', 'endpoint-' || n %% 500), 'charge', 'key-' || n, sha256(''),
            now() - make_interval(secs => (%(rows)s - n) * (%(days)s * 86400.0 / %(rows)s)), sha256('')
        FROM generate_series(1, %(rows)s) n, (SELECT min(id) AS id FROM accounts_user) u""",
    """SELECT usage_ensure_partition(day) FROM generate_series(now() - make_interval(days => %(days)s + 31),
        now() + interval '1 day', '7 days') day""",
    """INSERT INTO usage_requestlog (id, user_id, api_key_id, endpoint, path, method, status, units, credits, unpaid,
            entry_id, request_id, reference, source, occurred_at)
        SELECT n, u.id, k.id, 'endpoint-' || n %% 500, '/endpoint-' || n %% 500, 'POST',
            CASE WHEN n %% 5000 = 0 THEN 402 WHEN n %% 50 = 0 THEN 500 ELSE 200 END, 1,
            CASE WHEN n %% 5000 = 0 OR n %% 7000 = 1 THEN 0 ELSE 0.5 END, n %% 7000 = 1,
            CASE WHEN n %% 5000 = 0 OR n %% 7000 = 1 THEN NULL ELSE (n - 1) %% %(rows)s + 1 END,
            gen_random_uuid(), 'reference-' || n, '',
            now() - make_interval(secs => (%(requests)s - n) * (%(days)s * 86400.0 / %(requests)s))
        FROM generate_series(1, %(requests)s) n, (SELECT min(id) AS id FROM accounts_user) u
        JOIN accounts_apikey k ON k.user_id = u.id""",
    """INSERT INTO usage_requestlog (id, user_id, endpoint, path, method, status, credits, source, occurred_at)
        SELECT %(requests)s + id, id, 'endpoint-1', '/endpoint-1', 'POST', 200, 0, '', now() FROM accounts_user""",
    """INSERT INTO ledger_hold (user_id, credits, status, expires_at, reference, idempotency_key, fingerprint,
            created_at)
        SELECT u.id, 1, CASE WHEN n < 100 THEN 'open' ELSE 'captured' END, now() - interval '1 minute',
            'work-' || n, 'hold-' || n, '', now() - make_interval(secs => n)
        FROM generate_series(1, %(rows)s / 10) n, (SELECT min(id) AS id FROM accounts_user) u""",
    """INSERT INTO usage_dailyusage (user_id, day, endpoint, successful, failed, rejected, credits)
        SELECT u.id, current_date - d, 'endpoint-' || e, 100, 2, 1, 51
        FROM generate_series(0, %(days)s) d, generate_series(1, 2) e, accounts_user u
        WHERE d < 30 OR u.id %% 10 = 0""",
    """INSERT INTO usage_reconciliationrun (started_at, finished_at, is_full, findings, report)
        SELECT now() - make_interval(days => d), now() - make_interval(days => d), true, 0,
            '{"checked": {}, "findings": []}'
        FROM generate_series(0, 400) d""",
)


def load(owner_dsn: str, *, rows: int, requests: int, customers: int) -> None:
    """Fill an empty, migrated database, and analyze it, as autovacuum would."""
    with psycopg.connect(owner_dsn, autocommit=True) as owner:
        for statement in _STATEMENTS:
            owner.execute(statement, {"rows": rows, "requests": requests, "customers": customers, "days": DAYS})
        owner.execute("VACUUM ANALYZE")
