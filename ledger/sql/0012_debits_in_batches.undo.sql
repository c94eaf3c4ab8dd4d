DROP FUNCTION ledger_debit_batch;
DROP TYPE ledger_debit;
