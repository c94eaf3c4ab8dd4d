DROP FUNCTION ledger_expire_holds;
