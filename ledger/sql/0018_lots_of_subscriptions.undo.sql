-- What the restored ones replace.
DROP FUNCTION ledger_settle_expired, ledger_lapsed, ledger_reckon;
