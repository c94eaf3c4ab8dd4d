-- Holds: credits set aside, until they are captured or released or the hold expires.
--
-- Promises that the open holds of a customer never exceed what they have, that a hold is captured up to its amount and
-- ended once, and that from `expires_at` on it holds nothing, whether or not a job has run.
-- Called by ledger/services/holds.py:open_hold, :release_hold, :extend_hold and :expire_holds, and by usage_open_hold
-- and usage_capture_hold.
-- Locks: ledger_balance, by the conditional UPDATE of ledger_open_hold or by ledger_lock_hold; then the hold.
-- ledger_open_hold looks the key up before that, without a lock, the others after it (balances.sql).

-- What came of an attempt to change a hold, and the hold as it is after it.
--   outcome    opened | captured | released | extended | replayed | key_reused | insufficient | not_found
--              | hold_captured | hold_released | hold_expired | capture_exceeds_hold
--   entry_id   the debit of a capture, if it took anything
--   required   with `insufficient`: credits that were asked for
CREATE TYPE ledger_hold_outcome AS (
    outcome text,
    hold_id bigint,
    user_id bigint,
    credits numeric,
    captured numeric,
    status text,
    expires_at timestamptz,
    reference text,
    created_at timestamptz,
    settled_at timestamptz,
    entry_id bigint,
    entry_at timestamptz,
    balance numeric,
    reserved numeric,
    available numeric,
    required numeric,
    reason text,
    next_hold_expires_at timestamptz
);

-- One row of the result from a hold.
CREATE FUNCTION ledger_hold_result(p_outcome text, h ledger_hold, p_entry_id bigint, p_entry_at timestamptz)
RETURNS ledger_hold_outcome LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(p_outcome, h.id, h.user_id, h.credits, h.captured, h.status, h.expires_at, h.reference, h.created_at,
               h.settled_at, p_entry_id, p_entry_at, NULL, NULL, NULL, NULL, NULL, NULL)::ledger_hold_outcome
$$;

-- The hold of an id, with its customer's balance locked and what has expired settled. With `p_user_id`, only if it is
-- that customer's. No row: there is none. The customer of a hold never changes, so it may be read before the lock.
CREATE FUNCTION ledger_lock_hold(p_hold_id bigint, p_user_id bigint) RETURNS ledger_hold LANGUAGE plpgsql AS $$
DECLARE
    v_hold ledger_hold;
BEGIN
    SELECT * INTO v_hold FROM ledger_hold WHERE id = p_hold_id AND (p_user_id IS NULL OR user_id = p_user_id);
    IF FOUND THEN
        PERFORM ledger_lock_used_balance(v_hold.user_id);
        SELECT * INTO v_hold FROM ledger_hold WHERE id = p_hold_id;
    END IF;
    RETURN v_hold;
END $$;

-- Set `p_credits` (0 or more) aside for `p_seconds` seconds, if that much is available.
-- `p_purpose` is what the caller's own layer wants to find again at the capture, `p_api_key_id` the customer's key
-- that it was opened by.
CREATE FUNCTION ledger_open_hold(
    p_user_id bigint, p_credits numeric, p_seconds integer, p_reference text, p_metadata jsonb,
    p_idempotency_key text, p_fingerprint bytea, p_api_key_id bigint DEFAULT NULL, p_purpose jsonb DEFAULT NULL
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold ledger_hold;
    v_locked ledger_balance;
    v_refusal ledger_outcome;
BEGIN
    PERFORM ledger_refuse_inexact(p_credits);
    FOR attempt IN 1..2 LOOP
        SELECT * INTO v_hold FROM ledger_hold WHERE user_id = p_user_id AND idempotency_key = p_idempotency_key;
        IF FOUND THEN
            RETURN ledger_hold_result(
                CASE WHEN v_hold.fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END, v_hold, NULL, NULL);
        END IF;
        v_hold.created_at := clock_timestamp();
        v_hold.expires_at := v_hold.created_at + make_interval(secs => p_seconds);
        UPDATE ledger_balance b SET
            reserved = b.reserved + p_credits,
            next_expiry_at = least(b.next_expiry_at, v_hold.expires_at),
            updated_at = greatest(v_hold.created_at, b.updated_at)
        WHERE b.user_id = p_user_id
            AND b.frozen_at IS NULL
            AND (b.balance - b.reserved - p_credits >= -b.overdraft_limit OR p_credits = 0)
            AND (attempt = 2 OR b.next_expiry_at > clock_timestamp());
        EXIT WHEN FOUND;
        IF attempt = 2 THEN
            v_refusal := ledger_refusal(v_locked, p_credits);
            RETURN ROW(
                v_refusal.outcome, NULL, p_user_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                v_refusal.balance, v_refusal.reserved, v_refusal.available, p_credits, v_refusal.reason,
                v_refusal.next_hold_expires_at)::ledger_hold_outcome;
        END IF;
        v_locked := ledger_lock_balance(p_user_id);
    END LOOP;

    INSERT INTO ledger_hold (
        user_id, credits, expires_at, reference, metadata, idempotency_key, fingerprint, created_at, api_key_id, purpose)
    VALUES (
        p_user_id, p_credits, v_hold.expires_at, p_reference, p_metadata, p_idempotency_key, p_fingerprint,
        v_hold.created_at, p_api_key_id, p_purpose)
    ON CONFLICT (user_id, idempotency_key) DO NOTHING
    RETURNING * INTO v_hold;
    IF v_hold.id IS NULL THEN
        RAISE EXCEPTION 'another call has just used this key' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN ledger_hold_result('opened', v_hold, NULL, NULL);
END $$;

-- Turn `p_credits` of an open hold (NULL: all that is left; 0: nothing) into one debit. With `p_final` the rest is
-- given back and the hold is settled: captured, or released when nothing was ever taken; without, the rest stays held
-- until nothing is left. Internal: metering calls it together with the request that it pays for.
CREATE FUNCTION ledger_capture_hold(
    p_hold_id bigint, p_user_id bigint, p_credits numeric, p_final boolean, p_entry_id bigint, p_description text,
    p_reference text, p_metadata jsonb, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_hold ledger_hold := ledger_lock_hold(p_hold_id, p_user_id);
    v_left numeric := v_hold.credits - v_hold.captured;
    v_credits numeric := coalesce(p_credits, v_left);
    v_closes boolean := p_final OR v_credits = v_left;
    v_release numeric := CASE WHEN v_closes THEN v_left ELSE v_credits END;
    v_done ledger_outcome;
    v_outcome text;
BEGIN
    IF v_hold.id IS NULL THEN
        RETURN ledger_hold_result('not_found', v_hold, NULL, NULL);
    END IF;
    v_done := ledger_replay(v_hold.user_id, 'capture_hold', p_idempotency_key, p_fingerprint);
    v_outcome := coalesce(
        v_done.outcome,
        ledger_operation_replay(v_hold.user_id, 'capture_hold', p_idempotency_key, p_fingerprint),
        CASE WHEN v_hold.status <> 'open' THEN 'hold_' || v_hold.status
            WHEN v_credits > v_left THEN 'capture_exceeds_hold' END);
    IF v_outcome IS NOT NULL THEN
        RETURN ledger_hold_result(v_outcome, v_hold, v_done.entry_id, v_done.created_at);
    END IF;

    -- The hold before the balance moves: should it expire just now, it is settled for what is left of it.
    UPDATE ledger_hold SET
        captured = captured + v_credits,
        status = CASE WHEN NOT v_closes THEN 'open' WHEN captured + v_credits > 0 THEN 'captured' ELSE 'released' END,
        settled_at = CASE WHEN v_closes THEN clock_timestamp() END
    WHERE id = p_hold_id
    RETURNING * INTO v_hold;
    IF v_credits > 0 THEN
        v_done := ledger_move(
            v_hold.user_id, 'debit', 'capture', -v_credits, p_description, p_reference, p_metadata, 'capture_hold',
            p_idempotency_key, p_fingerprint, NULL, NULL, v_release, p_entry_id);
        IF v_done.outcome <> 'posted' THEN
            RAISE EXCEPTION 'what was held could not be taken: %', v_done.outcome;
        END IF;
    ELSE
        v_done.created_at := clock_timestamp();
        UPDATE ledger_balance SET reserved = reserved - v_release, updated_at = greatest(v_done.created_at, updated_at)
        WHERE user_id = v_hold.user_id AND v_release > 0;
        INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
        VALUES (v_hold.user_id, 'capture_hold', p_idempotency_key, p_fingerprint, p_hold_id);
    END IF;
    PERFORM ledger_settle_due(v_hold.user_id);
    RETURN ledger_hold_result('captured', v_hold, v_done.entry_id, v_done.created_at);
END $$;

-- Give back what an open hold still holds; what expired grants had kept for it is gone with it. Repeating the call with
-- its key returns `replayed`.
CREATE FUNCTION ledger_release_hold(
    p_hold_id bigint, p_user_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold ledger_hold := ledger_lock_hold(p_hold_id, p_user_id);
    v_outcome text;
BEGIN
    IF v_hold.id IS NULL THEN
        RETURN ledger_hold_result('not_found', v_hold, NULL, NULL);
    END IF;
    v_outcome := ledger_operation_replay(v_hold.user_id, 'release_hold', p_idempotency_key, p_fingerprint);
    IF v_outcome IS NOT NULL OR v_hold.status <> 'open' THEN
        RETURN ledger_hold_result(coalesce(v_outcome, 'hold_' || v_hold.status), v_hold, NULL, NULL);
    END IF;
    UPDATE ledger_balance SET
        reserved = reserved - (v_hold.credits - v_hold.captured),
        updated_at = greatest(clock_timestamp(), updated_at)
    WHERE user_id = v_hold.user_id;
    UPDATE ledger_hold SET status = 'released', settled_at = clock_timestamp() WHERE id = p_hold_id
    RETURNING * INTO v_hold;
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
    VALUES (v_hold.user_id, 'release_hold', p_idempotency_key, p_fingerprint, p_hold_id);
    PERFORM ledger_settle_due(v_hold.user_id);
    RETURN ledger_hold_result('released', v_hold, NULL, NULL);
END $$;

-- Let an open hold live until `p_seconds` seconds from now, and never shorter than before. Repeating the call with its
-- key returns `replayed` and extends nothing.
CREATE FUNCTION ledger_extend_hold(
    p_hold_id bigint, p_user_id bigint, p_seconds integer, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold ledger_hold := ledger_lock_hold(p_hold_id, p_user_id);
    v_outcome text;
BEGIN
    IF v_hold.id IS NULL THEN
        RETURN ledger_hold_result('not_found', v_hold, NULL, NULL);
    END IF;
    v_outcome := ledger_operation_replay(v_hold.user_id, 'extend_hold', p_idempotency_key, p_fingerprint);
    IF v_outcome IS NOT NULL OR v_hold.status <> 'open' THEN
        RETURN ledger_hold_result(coalesce(v_outcome, 'hold_' || v_hold.status), v_hold, NULL, NULL);
    END IF;
    -- The balance expects an expiry at the old time; there it looks again, and finds the new one.
    UPDATE ledger_hold SET expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => p_seconds))
    WHERE id = p_hold_id
    RETURNING * INTO v_hold;
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
    VALUES (v_hold.user_id, 'extend_hold', p_idempotency_key, p_fingerprint, p_hold_id);
    RETURN ledger_hold_result('extended', v_hold, NULL, NULL);
END $$;

-- Settle every hold of one customer that has expired; returns how many there were.
-- Reads and charges are exact without it: this only tidies up after customers who have stopped calling.
-- The balance row is locked first, as in ledger_lock_balance, and looked at again under the lock: of two runs at
-- once, or a run and a charge, one settles a hold and the other finds nothing to do.
CREATE FUNCTION ledger_expire_holds(p_user_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_settled integer;
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp() FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    v_settled := ledger_settle_expired(p_user_id);
    PERFORM ledger_collect_owed_credits(p_user_id);
    RETURN v_settled;
END $$;
