-- Bring a balance row and its history together again, after somebody with the owner's rights has moved the
-- row past its guard: an entry says by how much the row had drifted. History is not touched, nor is what the
-- customer sees; whether they keep it is for staff to decide, by an adjustment.
--   outcome    posted | nothing_to_correct | beyond_correction (the row's seq is not the history's)
CREATE FUNCTION ledger_correct_drift(p_user_id bigint, p_idempotency_key text) RETURNS ledger_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_outcome;
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    v_last ledger_entry;
    v_granted numeric;
    v_drift numeric;
    v_now timestamptz;
    v_seal bytea;
    v_description text := 'Reconciliation: the balance had moved without an entry';
    v_fingerprint bytea := sha256(convert_to(p_idempotency_key, 'UTF8'));
BEGIN
    SELECT * INTO v_last FROM ledger_entry WHERE user_id = p_user_id ORDER BY seq DESC LIMIT 1;
    IF coalesce(v_last.seq, 0) <> v_balance.seq THEN
        r.outcome := 'beyond_correction';
        RETURN r;
    END IF;
    v_drift := v_balance.balance - coalesce(v_last.balance_after, 0);
    IF v_drift = 0 THEN
        r.outcome := 'nothing_to_correct';
        RETURN r;
    END IF;
    SELECT coalesce(sum(amount), 0) INTO v_granted FROM ledger_entry
    WHERE user_id = p_user_id AND reason NOT IN ('usage', 'capture', 'refund', 'reversal');
    v_now := greatest(clock_timestamp(), v_balance.updated_at);
    v_seal := ledger_seal(
        coalesce(v_last.seal, ''), p_user_id, v_balance.seq + 1, 'adjustment', 'correction', v_drift, v_balance.balance,
        v_description, NULL, '{}', 'correct_drift', p_idempotency_key, v_fingerprint, NULL, NULL, v_now);

    UPDATE ledger_balance
    SET seq = seq + 1, seal = v_seal, granted_total = v_granted + v_drift, updated_at = v_now
    WHERE user_id = p_user_id
    RETURNING seq, balance, reserved, balance - reserved, updated_at
    INTO r.seq, r.balance, r.reserved, r.available, r.created_at;
    INSERT INTO ledger_entry (
        user_id, seq, type, reason, amount, balance_after, description, metadata, operation, idempotency_key,
        fingerprint, created_at, seal)
    VALUES (
        p_user_id, r.seq, 'adjustment', 'correction', v_drift, r.balance, v_description, '{}', 'correct_drift',
        p_idempotency_key, v_fingerprint, v_now, v_seal)
    RETURNING id INTO r.entry_id;
    r.outcome := 'posted';
    RETURN r;
END $$;
