-- What the database insists on, even against the owner of the tables.
--
-- Statement triggers, so that a statement that matches no row is refused too. They are meant against
-- mistakes; against somebody who drops them there are the seal and `reconcile`.

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: what it records is never altered or removed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER operation_key_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_operationkey
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER balance_stays BEFORE DELETE OR TRUNCATE ON ledger_balance
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- A balance moves only together with an entry: seq steps up by one, or nothing that seq vouches for changes. The
-- condition is short because each statement parses it again; charges step, and never call the function.
CREATE FUNCTION ledger_refuse_move_without_seq() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.user_id, NEW.seq, NEW.balance, NEW.granted_total, NEW.seal)
        IS DISTINCT FROM (OLD.user_id, OLD.seq, OLD.balance, OLD.granted_total, OLD.seal) THEN
        RAISE EXCEPTION 'UPDATE on ledger_balance is refused: what it records is never altered without an entry'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER balance_changes_only_with_seq BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.seq <> OLD.seq + 1 OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_move_without_seq();

CREATE TRIGGER hold_stays BEFORE DELETE OR TRUNCATE ON ledger_hold
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER settled_hold_stays_settled BEFORE UPDATE ON ledger_hold
    FOR EACH ROW
    WHEN (OLD.status <> 'open'
          OR NEW.user_id <> OLD.user_id
          OR NEW.credits <> OLD.credits
          OR NEW.captured < OLD.captured
          OR NEW.expires_at < OLD.expires_at)
    EXECUTE FUNCTION ledger_refuse_change();

-- The hot row is updated in place over and over: leave room on its page, index nothing that changes.
ALTER TABLE ledger_balance SET (fillfactor = 50);

-- In a young installation, with one entry a user, the unique indexes tie in the planner's eyes and a key
-- look-up may read a whole account: say that users have many rows, whatever a sample finds.
ALTER TABLE ledger_entry ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_hold ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_operationkey ALTER COLUMN user_id SET (n_distinct = -0.001);
