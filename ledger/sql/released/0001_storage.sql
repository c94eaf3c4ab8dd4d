-- How the tables of `ledger` are stored and planned for.

-- The hot row is updated in place over and over: leave room on its page, index nothing that changes.
ALTER TABLE ledger_balance SET (fillfactor = 50);

-- In a young installation, with one entry a user, the unique indexes tie in the planner's eyes and a key
-- look-up may read a whole account: say that users have many rows, whatever a sample finds.
ALTER TABLE ledger_entry ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_hold ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_operationkey ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_grant ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_grantdraw ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_subscriptionperiod ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_subscriptionchange ALTER COLUMN user_id SET (n_distinct = -0.001);
