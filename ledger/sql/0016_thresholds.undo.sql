DROP FUNCTION ledger_rearm, ledger_watch;
DROP TRIGGER balance_notes_crossing ON ledger_balance;
DROP FUNCTION ledger_note_crossing;
