"""The statements that write a long history, one a table: `rows`, `many` (a tenth) or `some` rows."""

from __future__ import annotations

# One in `each` is a grant, one in a hundred a refund.
_ENTRIES = """
    INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, reference, metadata,
                              operation, idempotency_key, fingerprint, created_at, seal)
    SELECT %(user)s, %(seq)s + g, CASE WHEN g %% %(each)s = 1 OR g %% 100 = 6 THEN 'credit' ELSE 'debit' END,
        CASE WHEN g %% %(each)s = 1 THEN 'grant' WHEN g %% 100 = 6 THEN 'refund' ELSE 'usage' END,
        CASE WHEN g %% %(each)s = 1 THEN 9 WHEN g %% 100 = 6 THEN 1 ELSE -1 END, 1000,
        'search', 'request-' || g, '{}', 'charge', 'key-' || g, '\\x00',
        now() - interval '1 day' * %(days)s * (1 - g / %(entries)s::float8), ''
    FROM generate_series(1, %(entries)s) g
"""
# The last forty have credits left, and expire in a month or two; the others are spent.
_GRANTS = """
    INSERT INTO ledger_grant (entry_id, user_id, seq, amount, remaining, category, priority, effective_at, expires_at,
                              has_run_out, ran_out_seq, created_at)
    SELECT id, user_id, seq, 3000, CASE WHEN is_left THEN 3000 ELSE 0 END, 'promotional', 50, created_at,
        CASE WHEN is_left THEN now() + interval '1 day' * (30 + seq %% 30) ELSE created_at + interval '1 hour' END,
        NOT is_left, CASE WHEN NOT is_left THEN seq + 9 END, created_at
    FROM (SELECT *, seq - %(seq)s > %(entries)s - 40 * %(each)s AS is_left FROM ledger_entry
          WHERE user_id = %(user)s AND seq > %(seq)s AND reason = 'grant') granted
"""
_DRAWS = """
    INSERT INTO ledger_grantdraw (user_id, grant_id, first_seq, last_seq, first_credits, last_credits, credits)
    SELECT user_id, entry_id, seq + 1, seq + 8, 1, 1, 8 FROM ledger_grant
    WHERE user_id = %(user)s AND seq > %(seq)s AND remaining = 0
"""
_PROGRESS = """
    INSERT INTO ledger_grantprogress (user_id, seq, overdrawn) VALUES (%(user)s, %(seq)s + %(entries)s, 0)
    ON CONFLICT (user_id) DO UPDATE SET seq = excluded.seq
"""
# The last fifty are still open; of the others one in four was released.
_HOLDS = """
    INSERT INTO ledger_hold (
        user_id, api_key_id, credits, captured, status, expires_at, settled_at, idempotency_key, fingerprint,
        created_at)
    SELECT %(user)s, %(key)s, 1, CASE WHEN is_open OR g %% 4 = 0 THEN 0 ELSE 1 END,
        CASE WHEN is_open THEN 'open' WHEN g %% 4 = 0 THEN 'released' ELSE 'captured' END,
        now() + interval '1 day' * is_open::int, CASE WHEN NOT is_open THEN now() END, 'hold-' || g, '\\x00',
        now() - interval '1 hour'
    FROM generate_series(1, %(many)s) g, LATERAL (SELECT g > %(many)s - 50 AS is_open) state
"""
_BALANCE = """
    UPDATE ledger_balance SET (balance, reserved, granted_total, seq, next_expiry_at) = (
        120000,
        (SELECT coalesce(sum(credits - captured), 0) FROM ledger_hold WHERE user_id = %(user)s AND status = 'open'),
        120000, %(seq)s + %(entries)s, now() + interval '10 minutes')
    WHERE user_id = %(user)s
"""
# Every other request was made with a key.
_REQUESTS = """
    INSERT INTO usage_requestlog (
        user_id, api_key_id, endpoint, path, method, status, credits, entry_id, source, reference, occurred_at)
    SELECT %(user)s, CASE WHEN g %% 2 = 0 THEN %(key)s::bigint END,
        (ARRAY['search', 'detect', '*', '/v1/items/{id}'])[1 + g %% 4], '/x', 'GET',
        (ARRAY[200, 200, 200, 500, 429])[1 + g %% 5], 1, 1, 'growth', 'request-' || g,
        now() - interval '1 day' * %(days)s * (1 - g / %(rows)s::float8)
    FROM generate_series(1, %(rows)s) g
"""
_SUMS = """
    INSERT INTO usage_dailyusage (user_id, day, endpoint, successful, failed, rejected, credits)
    SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date, endpoint, count(*) FILTER (WHERE status < 400),
        count(*) FILTER (WHERE status >= 400), count(*) FILTER (WHERE status = 429), sum(credits)
    FROM usage_requestlog WHERE source = 'growth' AND user_id = %(user)s GROUP BY 1, 2, 3
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET successful = excluded.successful, credits = excluded.credits
"""
_REFUNDS = """
    INSERT INTO usage_refund (entry_id, user_id, charge_id, endpoint, credits, occurred_at, created_at)
    SELECT id, user_id, id - 1, 'search', 1, created_at, created_at FROM ledger_entry
    WHERE user_id = %(user)s AND seq > %(seq)s AND reason = 'refund'
"""
_OPERATIONS = """
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
    SELECT %(user)s, (ARRAY['charge', 'release_hold', 'extend_hold', 'capture_hold'])[1 + g %% 4], 'free-' || g,
        '\\x00', 1
    FROM generate_series(1, %(many)s) g
"""
_EVENTS = """
    INSERT INTO usage_eventkey (user_id, event_key)
    SELECT %(user)s, sha256(('event-' || g)::bytea) FROM generate_series(1, %(many)s) g
"""
_IMPORTED = """
    INSERT INTO usage_importedline (source, line_key, user_id, occurred_at)
    SELECT 'growth', sha256((%(user)s || '-line-' || g)::bytea), %(user)s, now() FROM generate_series(1, %(many)s) g
"""
_NAMES = """
    INSERT INTO usage_importedcustomer (source, value, user_id)
    SELECT 'growth', 'host-' || %(user)s || '-' || g, %(user)s FROM generate_series(1, 20) g
"""
_PAYMENTS = """
    INSERT INTO ledger_payment (user_id, kind, credits, amount_minor, currency, state, provider, provider_key,
        provider_customer_id, provider_payment_id, entry_id, idempotency_key, fingerprint, created_at, asked_at,
        expires_at, settled_at, refunded_minor)
    SELECT user_id, 'top_up', 9, 900, 'USD', 'succeeded', 'fake', gen_random_uuid(), 'customer', 'payment-' || id, id,
        'payment-' || seq, '\\x00', created_at, created_at, created_at, created_at, 0
    FROM ledger_entry WHERE user_id = %(user)s AND seq > %(seq)s AND reason = 'grant'
"""
_OUTCOMES = """
    INSERT INTO ledger_paymentoutcome (payment_id, source, outcome, detail, created_at)
    SELECT id, 'call', 'succeeded', '', created_at FROM ledger_payment
    WHERE user_id = %(user)s AND idempotency_key LIKE 'payment-%%'
"""
_GRANT_CHANGES = """
    INSERT INTO ledger_granttermschange (user_id, grant_id, kind, expires_before, expires_after, credits, note,
        actor_id, idempotency_key, fingerprint, created_at)
    SELECT user_id, entry_id, 'extend', expires_at - interval '1 second', expires_at, 1, 'growth', user_id,
        'extend-' || entry_id, '\\x00', created_at
    FROM ledger_grant WHERE user_id = %(user)s AND expires_at IS NOT NULL
"""
_STAFF_REFUNDS = """
    INSERT INTO ledger_staffrefund (user_id, payment_id, amount_minor, provider_key, state, provider_refund_id, note,
        actor_id, idempotency_key, fingerprint, created_at, asked_at, settled_at)
    SELECT user_id, id, 1, gen_random_uuid(), 'made', 'refund-' || id, 'growth', user_id, 'refund-' || id, '\\x00',
        created_at, created_at, created_at
    FROM ledger_payment WHERE user_id = %(user)s AND idempotency_key LIKE 'payment-%%'
"""
_NOTICES = """
    INSERT INTO accounts_notice (user_id, type, key, data, created_at)
    SELECT %(user)s, 'balance.low', 'growth-' || g, '{}', now() - interval '1 second' * (%(many)s - g)
    FROM generate_series(1, %(many)s) g
"""
_DELIVERIES = """
    INSERT INTO accounts_webhookdelivery
        (user_id, endpoint_id, notice_id, state, attempts, failures, due_since, created_at, delivered_at)
    SELECT user_id, %(webhook)s, id, 'delivered', 1, 0, created_at, created_at, created_at FROM accounts_notice
    WHERE user_id = %(user)s AND key LIKE 'growth-%%'
"""
_ATTEMPTS = """
    INSERT INTO accounts_webhookattempt (user_id, delivery_id, at, url, status, milliseconds, answer)
    SELECT user_id, id, created_at, 'https://example.com/', 200, 5, '' FROM accounts_webhookdelivery
    WHERE user_id = %(user)s AND state = 'delivered'
"""
_TERMS = """
    INSERT INTO ledger_termschange (user_id, kind, limit_before, limit_after, note, idempotency_key, fingerprint,
                                    created_at)
    SELECT %(user)s, 'overdraft', g, g + 1, 'growth', 'terms-' || g, '\\x00', now()
    FROM generate_series(1, %(some)s) g
"""
# The last one waits.
_ADJUSTMENTS = """
    INSERT INTO ledger_adjustmentrequest (user_id, amount, total, reason, note, author_id, idempotency_key, fingerprint,
        second_person_because, state, decided_by_id, decided_at)
    SELECT %(user)s, 1, 1, 'goodwill', 'growth', %(user)s, 'adjustment-' || g, '\\x00', 'own_account',
        CASE WHEN g = %(many)s THEN 'pending' ELSE 'rejected' END,
        CASE WHEN g < %(many)s THEN (SELECT min(id) FROM accounts_user WHERE id <> %(user)s) END,
        CASE WHEN g < %(many)s THEN now() END
    FROM generate_series(1, %(many)s) g
"""
_RELOADS = """
    INSERT INTO ledger_autoreloadevent (user_id, kind, created_at)
    SELECT %(user)s, 'cap_reached', now() FROM generate_series(1, %(some)s) g
"""
_SUBSCRIPTION_CHANGES = """
    INSERT INTO ledger_subscriptionchange (user_id, subscription_id, kind, plan_id, billing_interval,
        credits_per_period, effective_at, note, idempotency_key, fingerprint)
    SELECT user_id, id, 'plan_later', plan_id, 'monthly', 1, now(), 'growth', 'change-' || g, '\\x00'
    FROM accounts_subscription, generate_series(1, %(some)s) g WHERE user_id = %(user)s
"""
_OLD_KEYS = """
    INSERT INTO accounts_apikey (user_id, name, prefix, last4, key_hash, scopes, created_at, revoked_at,
                                 spending_reset_day)
    SELECT %(user)s, 'old', substr(md5(%(user)s || '-' || g), 1, 12), '0000',
        sha256((%(user)s || '-key-' || g)::bytea), '{account:read}', now() - interval '9 days', now(), 1
    FROM generate_series(1, %(some)s) g
"""
_SIGN_INS = """
    WITH families AS (
        INSERT INTO accounts_tokenfamily (id, user_id, created_at, expires_at)
        SELECT gen_random_uuid(), %(user)s, now(), now() + interval '1 day' FROM generate_series(1, %(some)s)
        RETURNING id
    ), spent AS (
        INSERT INTO accounts_spentrefreshtoken (user_id, family_id, jti, spent_at, expires_at)
        SELECT %(user)s, id, id::text, now(), now() + interval '1 day' FROM families
    )
    INSERT INTO accounts_loginattempt (account, attempted_at, device)
    SELECT %(email)s, now() - interval '1 day', '' FROM generate_series(1, 20)
"""
_FINDINGS = """
    INSERT INTO usage_reconciliationfinding (check_name, subject, user_id, detail, facts, found_at, last_found_at,
                                             last_run_id, times_found, opened_at, closed_at)
    SELECT 'growth', 'customer ' || %(user)s || ', entry ' || g, %(user)s, 'growth', '{}', now(), now(),
        (SELECT max(id) FROM usage_reconciliationrun), 1, now(), CASE WHEN g %% 10 > 0 THEN now() END
    FROM generate_series(1, %(some)s) g
"""
_RECORD = """
    INSERT INTO django_admin_log (action_time, object_id, object_repr, action_flag, change_message, content_type_id,
                                  user_id, customer_id, kind)
    SELECT now(), %(user)s::text, 'growth', 2, '', %(content_type)s, %(user)s, %(user)s,
        CASE WHEN g %% 100 = 0 THEN 'action' ELSE 'view' END
    FROM generate_series(1, %(many)s) g
"""

WRITTEN = (
    _ENTRIES, _GRANTS,
    _GRANT_CHANGES, _DRAWS, _PROGRESS, _HOLDS, _BALANCE, _REQUESTS, _SUMS, _REFUNDS, _OPERATIONS, _EVENTS, _IMPORTED,
    _NAMES, _PAYMENTS, _STAFF_REFUNDS, _OUTCOMES, _NOTICES,
    _DELIVERIES, _ATTEMPTS, _TERMS, _ADJUSTMENTS, _RELOADS, _SUBSCRIPTION_CHANGES, _OLD_KEYS,
    _SIGN_INS, _RECORD, _FINDINGS,
)  # fmt: skip
