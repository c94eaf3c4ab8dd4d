-- The doors themselves: what the application's role may call. They run with the owner's rights.

-- Post one entry that is not usage: a purchase, a grant, an adjustment.
-- `p_amount` is signed credits. Repeating a call with its key answers `replayed` and the entry made then.
CREATE FUNCTION ledger_post_entry(
    p_user_id bigint, p_type text, p_reason text, p_amount numeric, p_description text, p_reference text,
    p_metadata jsonb, p_operation text, p_idempotency_key text, p_fingerprint bytea, p_actor_id bigint
) RETURNS ledger_outcome LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_outcome;
BEGIN
    IF (p_type, p_reason) NOT IN (
        ('credit', 'purchase'), ('credit', 'grant'), ('credit', 'auto_reload'),
        ('adjustment', 'goodwill'), ('adjustment', 'correction'), ('adjustment', 'chargeback')
    ) THEN
        RAISE EXCEPTION 'entries of type % and reason % are not posted by hand', p_type, p_reason
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM ledger_refuse_inexact(p_amount);
    r := ledger_replay(p_user_id, p_operation, p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    RETURN ledger_move(
        p_user_id, p_type, p_reason, p_amount, p_description, p_reference, p_metadata, p_operation,
        p_idempotency_key, p_fingerprint, NULL, p_actor_id);
END $$;

-- What came of an attempt to change a hold.
--   outcome    opened | released | replayed | key_reused | insufficient | not_found | hold_captured
--              | hold_released | hold_expired
CREATE TYPE ledger_hold_outcome AS (
    outcome text,
    hold_id bigint,
    balance numeric,
    reserved numeric,
    available numeric,
    reason text,
    next_hold_expires_at timestamptz
);

-- Set `p_credits` (positive) aside for `p_seconds` seconds, if that much is available.
CREATE FUNCTION ledger_open_hold(
    p_user_id bigint, p_credits numeric, p_seconds integer, p_reference text, p_metadata jsonb,
    p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_hold_outcome;
    v_refusal ledger_outcome;
    v_locked ledger_balance;
    v_fingerprint bytea;
    v_expires_at timestamptz;
BEGIN
    PERFORM ledger_refuse_inexact(p_credits);
    FOR attempt IN 1..2 LOOP
        SELECT id, fingerprint INTO r.hold_id, v_fingerprint
        FROM ledger_hold WHERE user_id = p_user_id AND idempotency_key = p_idempotency_key;
        IF FOUND THEN
            r.outcome := CASE WHEN v_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
            RETURN r;
        END IF;
        v_expires_at := clock_timestamp() + make_interval(secs => p_seconds);
        UPDATE ledger_balance b SET
            reserved = b.reserved + p_credits,
            next_expiry_at = least(b.next_expiry_at, v_expires_at),
            updated_at = greatest(clock_timestamp(), b.updated_at)
        WHERE b.user_id = p_user_id
            AND b.frozen_at IS NULL
            AND b.balance - b.reserved - p_credits >= -b.overdraft_limit
            AND (attempt = 2 OR b.next_expiry_at > clock_timestamp())
        RETURNING b.balance, b.reserved, b.balance - b.reserved INTO r.balance, r.reserved, r.available;
        EXIT WHEN FOUND;
        IF attempt = 2 THEN
            v_refusal := ledger_refusal(v_locked, p_credits);
            r.outcome := v_refusal.outcome;
            r.balance := v_refusal.balance;
            r.reserved := v_refusal.reserved;
            r.available := v_refusal.available;
            r.reason := v_refusal.reason;
            r.next_hold_expires_at := v_refusal.next_hold_expires_at;
            RETURN r;
        END IF;
        v_locked := ledger_lock_balance(p_user_id);
    END LOOP;

    INSERT INTO ledger_hold (
        user_id, credits, expires_at, reference, metadata, idempotency_key, fingerprint, created_at)
    VALUES (
        p_user_id, p_credits, v_expires_at, p_reference, p_metadata, p_idempotency_key, p_fingerprint,
        v_expires_at - make_interval(secs => p_seconds))
    ON CONFLICT (user_id, idempotency_key) DO NOTHING
    RETURNING id INTO r.hold_id;
    IF r.hold_id IS NULL THEN
        RAISE EXCEPTION 'another call has just used this key' USING ERRCODE = 'serialization_failure';
    END IF;
    r.outcome := 'opened';
    RETURN r;
END $$;

-- Give back what an open hold still holds. Repeating the call with its key answers `replayed`.
CREATE FUNCTION ledger_release_hold(
    p_hold_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_hold_outcome;
    v_hold ledger_hold;
    v_balance ledger_balance;
    v_done ledger_operationkey;
BEGIN
    SELECT * INTO v_hold FROM ledger_hold WHERE id = p_hold_id;
    IF NOT FOUND THEN
        r.outcome := 'not_found';
        RETURN r;
    END IF;
    v_balance := ledger_lock_balance(v_hold.user_id);
    r.hold_id := p_hold_id;

    SELECT * INTO v_done FROM ledger_operationkey
    WHERE user_id = v_hold.user_id AND operation = 'release_hold' AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN v_done.fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
        RETURN r;
    END IF;

    SELECT * INTO v_hold FROM ledger_hold WHERE id = p_hold_id;
    IF v_hold.status <> 'open' THEN
        r.outcome := 'hold_' || v_hold.status;
        RETURN r;
    END IF;
    UPDATE ledger_hold SET status = 'released', settled_at = clock_timestamp() WHERE id = p_hold_id;
    UPDATE ledger_balance SET
        reserved = reserved - (v_hold.credits - v_hold.captured),
        updated_at = greatest(clock_timestamp(), updated_at)
    WHERE user_id = v_hold.user_id
    RETURNING balance, reserved, balance - reserved INTO r.balance, r.reserved, r.available;
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
    VALUES (v_hold.user_id, 'release_hold', p_idempotency_key, p_fingerprint, p_hold_id);
    r.outcome := 'released';
    RETURN r;
END $$;

-- The place of the customer's first entry at or after a moment (one past the last when there is none).
-- Times rise with seq, so a binary search over the unique (user, seq) index answers in some twenty probes and
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
