-- Settle every hold of one customer that has expired; answers how many there were.
-- Reads and charges are exact without it: this only tidies up after customers who have stopped calling.
-- The balance row is locked first, as in ledger_lock_balance, and looked at again under the lock: of two runs at
-- once, or a run and a charge, one settles a hold and the other finds nothing to do.
CREATE FUNCTION ledger_expire_holds(p_user_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp() FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    RETURN ledger_settle_expired(p_user_id);
END $$;
