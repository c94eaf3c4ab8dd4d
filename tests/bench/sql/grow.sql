-- Five million entries and requests, over all accounts. Written past the doors: not for `reconcile`.
ALTER TABLE ledger_balance DISABLE TRIGGER balance_changes_only_with_seq;
INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, reference, metadata, operation,
                          idempotency_key, fingerprint, created_at, seal)
SELECT b.user_id, b.seq + g, 'debit', 'usage', -1, b.balance - g, 'translate', gen_random_uuid()::text, '{{}}', 'charge',
       gen_random_uuid()::text, '\x00', clock_timestamp(), ''
FROM generate_series(1, 5000000 / {accounts}) g, ledger_balance b WHERE b.user_id <= {accounts};
UPDATE ledger_balance SET seq = seq + 5000000 / {accounts}, balance = balance - 5000000 / {accounts}
WHERE user_id <= {accounts};
ALTER TABLE ledger_balance ENABLE TRIGGER balance_changes_only_with_seq;
INSERT INTO usage_requestlog (user_id, endpoint, path, method, status, credits, entry_id, price_id, source, occurred_at)
SELECT user_id, 'translate', 'translate', 'POST', 200, 1, 1, 1, '', now()
FROM generate_series(1, 5000000 / {accounts}), ledger_balance WHERE user_id <= {accounts};
