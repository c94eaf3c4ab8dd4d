-- Reconciliation: reading a ledger by time, and putting a balance right that does not fit its entries.
--
-- Promises that a correction writes down what was wrong, and never touches an entry.
-- Called by ledger/services/reconciliation/checks.py:correct_drift and ledger/selectors.py:_RANGE (ledger_first_seq_at).
-- Locks: ledger_balance.

-- The place of the customer's first entry at or after a time (one past the last when there is none).
-- Times rise with seq, so a binary search over the unique (user, seq) index takes some twenty probes and
-- charging pays for no further index.
CREATE FUNCTION ledger_first_seq_at(p_user_id bigint, p_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_low bigint := 1;
    v_high bigint := coalesce((SELECT seq FROM ledger_balance WHERE user_id = p_user_id), 0) + 1;
    v_middle bigint;
BEGIN
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high) / 2;
        IF (SELECT created_at FROM ledger_entry WHERE user_id = p_user_id AND seq = v_middle) >= p_at THEN
            v_high := v_middle;
        ELSE
            v_low := v_middle + 1;
        END IF;
    END LOOP;
    RETURN v_low;
END $$;

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
