DROP FUNCTION ledger_set_overdraft, ledger_freeze, ledger_replay_terms;
DROP TYPE ledger_terms_outcome;
DROP TRIGGER terms_change_is_append_only ON ledger_termschange;
