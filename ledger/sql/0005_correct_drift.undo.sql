DROP FUNCTION ledger_correct_drift;
