DROP FUNCTION ledger_refuse_long_history, ledger_note_grants, ledger_has_grants_that_end, ledger_may_skip, ledger_is_far_behind,
    ledger_lapse_grants;
-- What the restored ones replace.
DROP FUNCTION ledger_settle_expired, ledger_lapsed;
