DROP TRIGGER balance_changes_only_with_seq ON ledger_balance;
CREATE TRIGGER balance_changes_only_with_seq BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.seq <> OLD.seq + 1 OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_move_without_seq();
DROP FUNCTION ledger_refund, ledger_capture_hold, ledger_extend_hold, ledger_operation_replay, ledger_lock_hold,
    ledger_hold_answer, ledger_lock_used_balance;
-- What is restored from the older files.
DROP FUNCTION ledger_release_hold, ledger_open_hold, ledger_move;
DROP TYPE ledger_hold_outcome;
