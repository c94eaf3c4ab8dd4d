-- The one door, inner room. Nothing outside the functions of `ledger` and `usage` reaches these: they run
-- with the rights of whoever calls, and only the owner may call them.

-- What came of an attempt to change a balance.
--   outcome    posted | replayed | key_reused | insufficient
--   reason     with `insufficient`: spent | held (open holds would have covered it) | frozen
--   balance, reserved, available    credits after the attempt; available = balance - reserved
CREATE TYPE ledger_outcome AS (
    outcome text,
    entry_id bigint,
    seq bigint,
    balance numeric,
    reserved numeric,
    available numeric,
    reason text,
    next_hold_expires_at timestamptz,
    created_at timestamptz
);

-- The seal of an entry: SHA-256 over the previous entry's seal (empty before any) and a canonical text of
-- the entry's own fields: a JSON array, amounts with six places, the time in UTC with six places.
CREATE FUNCTION ledger_seal(
    p_previous bytea, p_user_id bigint, p_seq bigint, p_type text, p_reason text, p_amount numeric,
    p_balance_after numeric, p_description text, p_reference text, p_metadata jsonb, p_operation text,
    p_idempotency_key text, p_fingerprint bytea, p_reverses bigint, p_actor_id bigint, p_created_at timestamptz
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(p_previous || convert_to(json_build_array(
        p_user_id, p_seq, p_type, p_reason, p_amount::numeric(15, 6)::text, p_balance_after::numeric(15, 6)::text,
        p_description, p_reference, p_metadata, p_operation, p_idempotency_key, encode(p_fingerprint, 'hex'),
        p_reverses, p_actor_id, to_char(p_created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    )::text, 'UTF8'))
$$;

-- Settle every hold of the customer that has expired. The caller holds the balance row.
CREATE FUNCTION ledger_settle_expired(p_user_id bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_settled integer;
    v_freed numeric;
    v_latest timestamptz;
BEGIN
    WITH gone AS (
        UPDATE ledger_hold SET status = 'expired', settled_at = expires_at
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= v_now
        RETURNING credits - captured AS freed, expires_at
    )
    SELECT count(*), coalesce(sum(freed), 0), max(expires_at) INTO v_settled, v_freed, v_latest FROM gone;

    UPDATE ledger_balance SET
        reserved = reserved - v_freed,
        next_expiry_at = coalesce(
            (SELECT min(h.expires_at) FROM ledger_hold h WHERE h.user_id = p_user_id AND h.status = 'open'),
            '9999-12-31 00:00:00+00'),
        updated_at = greatest(updated_at, v_latest)
    WHERE user_id = p_user_id;
    RETURN v_settled;
END $$;

-- Hold the customer's balance row until the transaction ends, making it if it is the first use, with
-- whatever has expired settled. The order that every rule keeps: this first, then the key, then the amount.
-- FOR NO KEY UPDATE: rows that refer to the balance may still be inserted meanwhile.
CREATE FUNCTION ledger_lock_balance(p_user_id bigint) RETURNS ledger_balance LANGUAGE plpgsql AS $$
DECLARE
    v_balance ledger_balance;
BEGIN
    -- Nothing has changed yet, so the balance is as old as the account. The foreign key, checked when the
    -- transaction ends, would tell too late that there is no such customer.
    INSERT INTO ledger_balance (user_id, updated_at)
    SELECT id, least(created_at, clock_timestamp()) FROM accounts_user WHERE id = p_user_id
    ON CONFLICT DO NOTHING;
    SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no customer %', p_user_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_balance.next_expiry_at <= clock_timestamp() THEN
        PERFORM ledger_settle_expired(p_user_id);
        SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id;
    END IF;
    RETURN v_balance;
END $$;

-- Why `p_credits` cannot be spent from this balance.
CREATE FUNCTION ledger_refusal(p_balance ledger_balance, p_credits numeric) RETURNS ledger_outcome
LANGUAGE plpgsql AS $$
DECLARE
    r ledger_outcome;
BEGIN
    r.outcome := 'insufficient';
    r.balance := p_balance.balance;
    r.reserved := p_balance.reserved;
    r.available := p_balance.balance - p_balance.reserved;
    r.reason := CASE
        WHEN p_balance.frozen_at IS NOT NULL THEN 'frozen'
        WHEN p_balance.balance + p_balance.overdraft_limit >= p_credits THEN 'held'
        ELSE 'spent'
    END;
    r.next_hold_expires_at := (
        SELECT min(expires_at) FROM ledger_hold WHERE user_id = p_balance.user_id AND status = 'open');
    RETURN r;
END $$;

-- Refuse what is no exact amount of credits. A seventh place would be rounded in the balance and in the entry
-- apart; NaN is above every bound.
CREATE FUNCTION ledger_refuse_inexact(p_credits numeric) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_credits <> round(p_credits, 6) OR p_credits = 'NaN' THEN
        RAISE EXCEPTION '% is no amount of credits', p_credits USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- Change a balance by `p_amount` (signed credits, exact to six places) and write the entry that says so.
--
-- The fast path is one conditional UPDATE, true only while nothing has expired. When it does not match, the
-- row is locked, what has expired is settled, and the UPDATE is tried again before anything is refused:
-- deciding from the first miss would refuse customers whose holds have just run out.
-- The caller has looked the key up and found nothing. A twin that commits meanwhile is noticed under the lock
-- (40001) or by the unique key (23505): the caller's next try finds the twin's entry.
--
-- Every expression of PL/pgSQL is set up anew in each transaction, and every statement's plan too: hence few of
-- them, and the row at the end made by one.
CREATE FUNCTION ledger_move(
    p_user_id bigint, p_type text, p_reason text, p_amount numeric, p_description text, p_reference text,
    p_metadata jsonb, p_operation text, p_idempotency_key text, p_fingerprint bytea,
    p_reverses bigint DEFAULT NULL, p_actor_id bigint DEFAULT NULL
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_entry_id bigint;
    v_seq bigint;
    v_balance numeric;
    v_reserved numeric;
    v_at timestamptz;
    v_seal bytea;
    v_locked ledger_balance;
BEGIN
    LOOP
        UPDATE ledger_balance b SET
            balance = b.balance + p_amount,
            granted_total = b.granted_total
                + CASE WHEN p_reason IN ('usage', 'capture', 'refund', 'reversal') THEN 0 ELSE p_amount END,
            seq = b.seq + 1,
            -- A sub-select, so that the time is read once, and only after the row is held.
            (updated_at, seal) = (
                SELECT moment.at, ledger_seal(
                    b.seal, b.user_id, b.seq + 1, p_type, p_reason, p_amount, b.balance + p_amount, p_description,
                    p_reference, p_metadata, p_operation, p_idempotency_key, p_fingerprint, p_reverses, p_actor_id,
                    moment.at)
                FROM (SELECT greatest(clock_timestamp(), b.updated_at) AS at OFFSET 0) AS moment)
        WHERE b.user_id = p_user_id
            AND (p_amount > 0
                 OR (b.frozen_at IS NULL AND b.balance - b.reserved + p_amount >= -b.overdraft_limit))
            AND (v_locked.user_id IS NOT NULL OR b.next_expiry_at > clock_timestamp())
        RETURNING b.seq, b.balance, b.reserved, b.updated_at, b.seal
        INTO v_seq, v_balance, v_reserved, v_at, v_seal;
        EXIT WHEN FOUND;
        IF v_locked.user_id IS NOT NULL THEN
            RETURN ledger_refusal(v_locked, -p_amount);
        END IF;
        v_locked := ledger_lock_balance(p_user_id);
        IF EXISTS (SELECT FROM ledger_entry WHERE user_id = p_user_id AND operation = p_operation
                   AND idempotency_key = p_idempotency_key) THEN
            RAISE EXCEPTION 'another call has just used this key' USING ERRCODE = 'serialization_failure';
        END IF;
    END LOOP;

    INSERT INTO ledger_entry (
        user_id, seq, type, reason, amount, balance_after, description, reference, metadata, operation,
        idempotency_key, fingerprint, reverses_id, actor_id, created_at, seal)
    VALUES (
        p_user_id, v_seq, p_type, p_reason, p_amount, v_balance, p_description, p_reference, p_metadata, p_operation,
        p_idempotency_key, p_fingerprint, p_reverses, p_actor_id, v_at, v_seal)
    RETURNING id INTO v_entry_id;
    RETURN ROW('posted', v_entry_id, v_seq, v_balance, v_reserved, v_balance - v_reserved, NULL, NULL, v_at)::ledger_outcome;
END $$;

-- The entry that was made under a key, if any: `replayed`, or `key_reused` when something else was asked then.
-- Returns NULL in `outcome` when the key is new.
CREATE FUNCTION ledger_replay(
    p_user_id bigint, p_operation text, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_outcome LANGUAGE plpgsql STABLE AS $$
DECLARE
    r ledger_outcome;
    v_fingerprint bytea;
BEGIN
    SELECT id, seq, balance_after, created_at, fingerprint
    INTO r.entry_id, r.seq, r.balance, r.created_at, v_fingerprint
    FROM ledger_entry
    WHERE user_id = p_user_id AND operation = p_operation AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN v_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
    END IF;
    RETURN r;
END $$;
