DROP FUNCTION ledger_open_grant, ledger_settle_grants;
-- What the restored ones replace.
DROP FUNCTION ledger_refund, ledger_refusal, ledger_settle_expired;
