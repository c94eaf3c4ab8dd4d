-- History that no test can wait for: the last account but one has a million requests of this month and a million entries,
-- the last one ten thousand requests. Written past the doors, so its seals are empty: not for `reconcile`.
ALTER TABLE ledger_balance DISABLE TRIGGER balance_changes_only_with_seq;
INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, reference, metadata, operation,
                          idempotency_key, fingerprint, created_at, seal)
SELECT {accounts} + 1, g, 'debit', 'usage', -1, 899000000 - g, 'translate', 'big-' || g, '{{}}', 'charge', 'big-' || g, '\x00',
       clock_timestamp(), ''
FROM generate_series(2, 1000000) g;
UPDATE ledger_balance SET seq = 1000000, balance = 899000000 - 1000000, updated_at = clock_timestamp() WHERE user_id = {accounts} + 1;
ALTER TABLE ledger_balance ENABLE TRIGGER balance_changes_only_with_seq;

INSERT INTO usage_requestlog (user_id, endpoint, path, method, status, credits, entry_id, price_id, source, occurred_at)
SELECT account, (ARRAY['translate', 'detect', '*', '/v1/items/{{id}}'])[1 + g % 4], '/x', 'GET',
       CASE WHEN g % 20 = 0 THEN 500 ELSE 200 END, 1, 1, 1, 'bench',
       date_trunc('month', now(), 'UTC') + (now() - date_trunc('month', now(), 'UTC')) * (g::float8 / requests)
FROM (VALUES ({accounts} + 1, 1000000), ({accounts} + 2, 10000)) AS sizes(account, requests), generate_series(1, requests) g;
INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date, endpoint, count(*) FILTER (WHERE status < 400),
       count(*) FILTER (WHERE status >= 400), 0, sum(credits)
FROM usage_requestlog WHERE source = 'bench' GROUP BY 1, 2, 3
ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
    successful = d.successful + excluded.successful, failed = d.failed + excluded.failed,
    credits = d.credits + excluded.credits;
