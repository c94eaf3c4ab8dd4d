-- What migration 0017_disputes_rules of ledger runs: written by freeze_sql from sql/current/, never edited.

CREATE TRIGGER dispute_message_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_disputemessage
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- A dispute that was resolved, rejected or withdrawn stays so; what it is about never changes.
CREATE TRIGGER closed_dispute_stays_closed BEFORE UPDATE ON ledger_entrydispute
    FOR EACH ROW
    WHEN (OLD.state IN ('resolved', 'rejected', 'withdrawn')
          OR (NEW.user_id, NEW.entry_id, NEW.reason, NEW.created_at)
              IS DISTINCT FROM (OLD.user_id, OLD.entry_id, OLD.reason, OLD.created_at))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER dispute_stays BEFORE DELETE OR TRUNCATE ON ledger_entrydispute
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
