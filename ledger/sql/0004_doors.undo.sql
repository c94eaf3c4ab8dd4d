DROP FUNCTION ledger_first_seq_at, ledger_release_hold, ledger_open_hold, ledger_post_entry;
DROP TYPE ledger_hold_outcome;
