DROP FUNCTION ledger_replay, ledger_move, ledger_refuse_inexact, ledger_refusal, ledger_lock_balance, ledger_settle_expired, ledger_seal;
DROP TYPE ledger_outcome;
