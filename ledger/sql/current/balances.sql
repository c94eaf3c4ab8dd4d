-- Balances: the one row of a customer that every operation locks before anything else of the customer.
--
-- Promises that the caller who has locked the row sees it with everything settled that was due: holds that have
-- expired, grants that have ended, periods that have begun, and what the customer owes taken from what that made
-- available.
-- Called by the functions of the other files.
-- Locks: ledger_balance (FOR NO KEY UPDATE), then what belongs to it: holds, grants, the subscription, payments.
--
-- The order of locks, over all files: the advisory lock of the idempotency key (charges only), the row of an API key in
-- config_ratewindow (charges and holds by a key with a rate limit), ledger_balance, and then everything else of the
-- ledger. The order of checks: the idempotency key first, so that a replay is never refused, then the state, then the
-- amount.
-- ledger_post_entry, ledger_open_grant and ledger_open_hold look the key up before the balance and without a lock: of
-- two calls with one key one writes, the other fails on the unique key or under the lock, and its retry is a replay.

-- Lock the customer's balance row until the transaction ends, create it on the first use, and settle whatever has
-- expired.
-- FOR NO KEY UPDATE: rows that refer to the balance may still be inserted meanwhile.
CREATE FUNCTION ledger_lock_balance(p_user_id bigint) RETURNS ledger_balance LANGUAGE plpgsql AS $$
DECLARE
    v_balance ledger_balance;
    v_before ledger_balance;
BEGIN
    -- Nothing has changed yet, so the balance is as old as the account. The foreign key, checked when the
    -- transaction ends, would fail too late for a customer who does not exist.
    INSERT INTO ledger_balance (user_id, updated_at)
    SELECT id, least(created_at, clock_timestamp()) FROM accounts_user WHERE id = p_user_id
    ON CONFLICT DO NOTHING;
    SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no customer %', p_user_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_balance.next_expiry_at <= clock_timestamp() THEN
        v_before := v_balance;
        PERFORM ledger_settle_expired(p_user_id);
        SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id;
        IF (v_balance.seq, v_balance.reserved) <> (v_before.seq, v_before.reserved) THEN
            PERFORM ledger_collect_owed_credits(p_user_id);
            SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id;
        END IF;
    END IF;
    RETURN v_balance;
END $$;

-- The balance row of a customer who has used the ledger before, locked until the transaction ends, with whatever has
-- expired settled: ledger_lock_balance without the insert that the first use needs.
CREATE FUNCTION ledger_lock_used_balance(p_user_id bigint) RETURNS ledger_balance LANGUAGE plpgsql AS $$
DECLARE
    v_balance ledger_balance;
BEGIN
    SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF v_balance.next_expiry_at > clock_timestamp() THEN
        RETURN v_balance;
    END IF;
    RETURN ledger_lock_balance(p_user_id);
END $$;
