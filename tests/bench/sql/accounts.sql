-- Accounts with credits (the last two are not charged, only read), a price, and the running month's partition. Passwords are of nobody.
INSERT INTO accounts_user (id, password, is_superuser, email, full_name, is_active, is_staff, created_at)
SELECT g, '!', false, 'user' || g || '@bench.invalid', '', true, false, now() FROM generate_series(1, {accounts} + 2) g;
SELECT setval(pg_get_serial_sequence('accounts_user', 'id'), {accounts} + 2);
INSERT INTO usage_price (endpoint, method, kind, pattern, slashes, weight, credits, charge_failures, effective_from)
VALUES ('translate', '', 'code', '', 0, 9, 1, false, now() - interval '400 days'),
       ('*', '', 'any', '', 0, 0, 1, false, now() - interval '400 days');
SELECT usage_ensure_partition(now());
SELECT count(ledger_post_entry(g, 'credit', 'grant', 900000000, 'bench', NULL, '{{}}', 'bench', 'bench', '\x00', NULL))
FROM generate_series(1, {accounts} + 2) g;
