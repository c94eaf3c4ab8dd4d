DROP TRIGGER balance_notes_crossing ON ledger_balance;
CREATE OR REPLACE FUNCTION ledger_note_crossing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_threshold SET crossed_at = clock_timestamp()
    WHERE user_id = NEW.user_id AND crossed_at IS NULL AND below > NEW.balance - NEW.reserved;
    NEW.watch_below := (
        SELECT max(below) FROM ledger_threshold WHERE user_id = NEW.user_id AND crossed_at IS NULL);
    RETURN NEW;
END $$;
CREATE TRIGGER balance_notes_crossing BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.balance - NEW.reserved < NEW.watch_below)
    EXECUTE FUNCTION ledger_note_crossing();
DROP FUNCTION ledger_settle_what_came_in, ledger_settle_what_is_due;
-- What the restored ones replace.
DROP FUNCTION ledger_settle_grants, ledger_capture_hold, ledger_release_hold, ledger_settle_reversals, ledger_refund;
