-- Without its periods a subscription would bring again what it has brought: it becomes a record kept by hand.
UPDATE accounts_subscription SET anchor_at = NULL, next_grant_at = NULL WHERE anchor_at IS NOT NULL;
DROP FUNCTION ledger_renew, ledger_periods_due, ledger_subscription_due_at, ledger_prorated, ledger_months_of,
    ledger_months_after;
DROP TYPE ledger_due_period;
DROP TRIGGER subscription_change_is_append_only ON ledger_subscriptionchange;
DROP TRIGGER subscription_period_is_append_only ON ledger_subscriptionperiod;
