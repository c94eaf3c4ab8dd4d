-- Entries: the one way to change a balance, and the calls that post entries by hand.
--
-- Promises that a balance changes only together with one sealed entry that says why, that an idempotency key is used
-- once, and that no debit goes below what is available. ledger_move is called by functions alone: it runs with the
-- rights of its caller, and only the owner may call it.
-- Called by ledger/services/entries.py:post_entry; ledger_move by the other files and by `usage`, ledger_replay by
-- grants.sql and holds.sql, ledger_refund by usage_refund.
-- Locks: ledger_balance, by the conditional UPDATE of ledger_move or by ledger_lock_balance. ledger_post_entry looks the
-- key up before that, without a lock, and ledger_refund after it (balances.sql: the order of locks and of checks).

-- What came of an attempt to change a balance.
--   outcome    posted | replayed | key_reused | insufficient
--   reason     with `insufficient`: spent | held (open holds would have covered it) | expired (credits that expired in
--              the last 24 hours would have covered it) | frozen | key_limit (set by the functions of `usage`, and by
--              ledger_debit_batch)
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

-- Refuse what is no exact amount of credits. A seventh place would be rounded in the balance and in the entry
-- apart; NaN is above every bound.
CREATE FUNCTION ledger_refuse_inexact(p_credits numeric) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_credits <> round(p_credits, 6) OR p_credits = 'NaN' THEN
        RAISE EXCEPTION '% is no amount of credits', p_credits USING ERRCODE = 'invalid_parameter_value';
    END IF;
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

-- How an operation on a hold that makes no entry went before under this key: replayed, key_reused, or NULL.
CREATE FUNCTION ledger_operation_replay(
    p_user_id bigint, p_operation text, p_idempotency_key text, p_fingerprint bytea
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END FROM ledger_operationkey
    WHERE user_id = p_user_id AND operation = p_operation AND idempotency_key = p_idempotency_key
$$;

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
        WHEN r.available + p_balance.overdraft_limit + (
            SELECT coalesce(sum(-e.amount), 0)
            FROM ledger_grant g
            JOIN ledger_grantdraw d ON d.user_id = g.user_id AND d.grant_id = g.entry_id
            JOIN ledger_entry e ON e.user_id = d.user_id AND e.seq = d.first_seq AND e.reason = 'expiry'
            WHERE g.user_id = p_balance.user_id AND g.expires_at IS NOT NULL
                AND g.expired_at > clock_timestamp() - interval '24 hours'
                AND e.created_at > clock_timestamp() - interval '24 hours') >= p_credits THEN 'expired'
        ELSE 'spent'
    END;
    r.next_hold_expires_at := (
        SELECT min(expires_at) FROM ledger_hold WHERE user_id = p_balance.user_id AND status = 'open');
    RETURN r;
END $$;

-- Change a balance by `p_amount` (signed credits, exact to six places) and write the entry that says so. `p_release`
-- is how much less is reserved from then on: what a capture takes out of its hold.
--
-- What is only taken from its own hold is never refused, not even from a frozen balance: it was granted when the hold
-- was. The fast path is one conditional UPDATE, true only while nothing has expired. When it does not match, the row is
-- locked, what has expired is settled, and the UPDATE is tried again before anything is refused: deciding from the
-- first miss would refuse customers whose holds have just expired. The caller has looked the key up and found nothing.
-- A twin that commits meanwhile is noticed under the lock (40001) or by the unique key (23505): the caller's next try
-- finds the twin's entry.
--
-- Every expression of PL/pgSQL is set up anew in each transaction, and every statement's plan too: hence few of
-- them, and the row at the end made by one.
CREATE FUNCTION ledger_move(
    p_user_id bigint, p_type text, p_reason text, p_amount numeric, p_description text, p_reference text,
    p_metadata jsonb, p_operation text, p_idempotency_key text, p_fingerprint bytea,
    p_reverses bigint DEFAULT NULL, p_actor_id bigint DEFAULT NULL, p_release numeric DEFAULT 0,
    p_entry_id bigint DEFAULT NULL
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
            reserved = b.reserved - p_release,
            granted_total = b.granted_total
                + CASE WHEN p_reason IN ('usage', 'capture', 'refund', 'reversal') THEN 0 ELSE p_amount END,
            seq = b.seq + 1,
            -- A sub-select, so that the time is read once, and only after the row is locked.
            (updated_at, seal) = (
                SELECT clock.at, ledger_seal(
                    b.seal, b.user_id, b.seq + 1, p_type, p_reason, p_amount, b.balance + p_amount, p_description,
                    p_reference, p_metadata, p_operation, p_idempotency_key, p_fingerprint, p_reverses, p_actor_id,
                    clock.at)
                FROM (SELECT greatest(clock_timestamp(), b.updated_at) AS at OFFSET 0) AS clock)
        WHERE b.user_id = p_user_id
            AND (p_amount + p_release >= 0
                 OR (b.frozen_at IS NULL AND b.balance - b.reserved + p_amount + p_release >= -b.overdraft_limit))
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
        id, user_id, seq, type, reason, amount, balance_after, description, reference, metadata, operation,
        idempotency_key, fingerprint, reverses_id, actor_id, created_at, seal)
    VALUES (
        coalesce(p_entry_id, nextval('ledger_entry_id_seq')), p_user_id, v_seq, p_type, p_reason, p_amount, v_balance,
        p_description, p_reference, p_metadata, p_operation, p_idempotency_key, p_fingerprint, p_reverses, p_actor_id,
        v_at, v_seal)
    RETURNING id INTO v_entry_id;
    RETURN ROW('posted', v_entry_id, v_seq, v_balance, v_reserved, v_balance - v_reserved, NULL, NULL, v_at)::ledger_outcome;
END $$;

-- Post one entry that is not usage: a purchase, a grant, an adjustment.
-- `p_amount` is signed credits. Repeating a call with its key returns `replayed` and the entry made then.
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
    r := ledger_move(
        p_user_id, p_type, p_reason, p_amount, p_description, p_reference, p_metadata, p_operation,
        p_idempotency_key, p_fingerprint, NULL, p_actor_id);
    IF p_amount > 0 AND r.outcome = 'posted' THEN
        PERFORM ledger_collect_owed_credits(p_user_id);
    END IF;
    RETURN r;
END $$;

-- Give back `p_credits` of a debit (NULL: all that was not given back yet) by an entry that says which. Internal.
-- The credits return to the grants that the debit drew on; those whose time has come lose them at once, by an
-- entry that is made here too.
--   outcome      posted | replayed | key_reused | refund_exceeds_charge
--   available    with refund_exceeds_charge: what is left to give back
CREATE FUNCTION ledger_refund(
    p_debit ledger_entry, p_credits numeric, p_description text, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_left numeric;
    v_credits numeric;
    r ledger_outcome;
BEGIN
    PERFORM ledger_lock_used_balance(p_debit.user_id);
    r := ledger_replay(p_debit.user_id, 'refund', p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    v_left := -p_debit.amount - coalesce((SELECT sum(amount) FROM ledger_entry WHERE reverses_id = p_debit.id), 0);
    v_credits := coalesce(p_credits, v_left);
    IF v_left <= 0 OR v_credits > v_left THEN
        r.outcome := 'refund_exceeds_charge';
        r.available := v_left;
        RETURN r;
    END IF;
    PERFORM ledger_refuse_inexact(v_credits);
    r := ledger_move(
        p_debit.user_id, 'credit', 'refund', v_credits, p_description, p_debit.reference,
        jsonb_build_object('charge_id', p_debit.id), 'refund', p_idempotency_key, p_fingerprint, p_debit.id);
    IF r.outcome = 'posted' THEN
        PERFORM ledger_settle_reversing_entry(p_debit.user_id);
    END IF;
    RETURN r;
END $$;
