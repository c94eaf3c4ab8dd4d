-- What metering adds to the ledger: a debit that draws on a hold, a hold that lives longer, a debit given back.

-- Charges, their rows in the log and entries share one sequence of ids: the id of a paid charge is that of its entry,
-- so it finds the debit for ever, by one look-up, whatever became of the log (docs/decisions/0023).
SELECT setval('ledger_entry_id_seq', greatest(
    (SELECT last_value FROM ledger_entry_id_seq),
    coalesce((SELECT last_value FROM pg_sequences WHERE sequencename = 'usage_requestlog_id_seq'), 1)));

-- A batch of charges makes several entries and moves the balance once: seq may step up by more than one.
DROP TRIGGER balance_changes_only_with_seq ON ledger_balance;
CREATE TRIGGER balance_changes_only_with_seq BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.seq <= OLD.seq OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_move_without_seq();

DROP FUNCTION ledger_move;
-- Change a balance by `p_amount` (signed credits, exact to six places) and write the entry that says so. `p_release`
-- is how much less is reserved from then on: what a capture takes out of its hold.
--
-- What only draws on its own hold is never refused, not even from a frozen balance: it was granted when the hold was.
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
            -- A sub-select, so that the time is read once, and only after the row is held.
            (updated_at, seal) = (
                SELECT moment.at, ledger_seal(
                    b.seal, b.user_id, b.seq + 1, p_type, p_reason, p_amount, b.balance + p_amount, p_description,
                    p_reference, p_metadata, p_operation, p_idempotency_key, p_fingerprint, p_reverses, p_actor_id,
                    moment.at)
                FROM (SELECT greatest(clock_timestamp(), b.updated_at) AS at OFFSET 0) AS moment)
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

-- The balance row of a customer who has used the ledger before, held until the transaction ends, with whatever has
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

DROP FUNCTION ledger_open_hold, ledger_release_hold;
DROP TYPE ledger_hold_outcome;

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

-- One row of the answer from a hold.
CREATE FUNCTION ledger_hold_answer(p_outcome text, h ledger_hold, p_entry_id bigint, p_entry_at timestamptz)
RETURNS ledger_hold_outcome LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(p_outcome, h.id, h.user_id, h.credits, h.captured, h.status, h.expires_at, h.reference, h.created_at,
               h.settled_at, p_entry_id, p_entry_at, NULL, NULL, NULL, NULL, NULL, NULL)::ledger_hold_outcome
$$;

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
            RETURN ledger_hold_answer(
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
    RETURN ledger_hold_answer('opened', v_hold, NULL, NULL);
END $$;

-- The hold of an id, with its customer's balance held and what has expired settled. With `p_user_id`, only if it is
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

-- How an operation on a hold that makes no entry went before under this key: replayed, key_reused, or NULL.
CREATE FUNCTION ledger_operation_replay(
    p_user_id bigint, p_operation text, p_idempotency_key text, p_fingerprint bytea
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END FROM ledger_operationkey
    WHERE user_id = p_user_id AND operation = p_operation AND idempotency_key = p_idempotency_key
$$;

-- Give back what an open hold still holds. Repeating the call with its key answers `replayed`.
CREATE FUNCTION ledger_release_hold(
    p_hold_id bigint, p_user_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold ledger_hold := ledger_lock_hold(p_hold_id, p_user_id);
    v_outcome text;
BEGIN
    IF v_hold.id IS NULL THEN
        RETURN ledger_hold_answer('not_found', v_hold, NULL, NULL);
    END IF;
    v_outcome := ledger_operation_replay(v_hold.user_id, 'release_hold', p_idempotency_key, p_fingerprint);
    IF v_outcome IS NOT NULL OR v_hold.status <> 'open' THEN
        RETURN ledger_hold_answer(coalesce(v_outcome, 'hold_' || v_hold.status), v_hold, NULL, NULL);
    END IF;
    UPDATE ledger_balance SET
        reserved = reserved - (v_hold.credits - v_hold.captured),
        updated_at = greatest(clock_timestamp(), updated_at)
    WHERE user_id = v_hold.user_id;
    UPDATE ledger_hold SET status = 'released', settled_at = clock_timestamp() WHERE id = p_hold_id
    RETURNING * INTO v_hold;
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
    VALUES (v_hold.user_id, 'release_hold', p_idempotency_key, p_fingerprint, p_hold_id);
    RETURN ledger_hold_answer('released', v_hold, NULL, NULL);
END $$;

-- Let an open hold live until `p_seconds` seconds from now, and never shorter than before. Repeating the call with its
-- key answers `replayed` and extends nothing.
CREATE FUNCTION ledger_extend_hold(
    p_hold_id bigint, p_user_id bigint, p_seconds integer, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold ledger_hold := ledger_lock_hold(p_hold_id, p_user_id);
    v_outcome text;
BEGIN
    IF v_hold.id IS NULL THEN
        RETURN ledger_hold_answer('not_found', v_hold, NULL, NULL);
    END IF;
    v_outcome := ledger_operation_replay(v_hold.user_id, 'extend_hold', p_idempotency_key, p_fingerprint);
    IF v_outcome IS NOT NULL OR v_hold.status <> 'open' THEN
        RETURN ledger_hold_answer(coalesce(v_outcome, 'hold_' || v_hold.status), v_hold, NULL, NULL);
    END IF;
    -- The balance expects an expiry at the old time; there it looks again, and finds the new one.
    UPDATE ledger_hold SET expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => p_seconds))
    WHERE id = p_hold_id
    RETURNING * INTO v_hold;
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
    VALUES (v_hold.user_id, 'extend_hold', p_idempotency_key, p_fingerprint, p_hold_id);
    RETURN ledger_hold_answer('extended', v_hold, NULL, NULL);
END $$;

-- Turn `p_credits` of an open hold (NULL: all that is left; 0: nothing) into one debit. With `p_final` the rest is
-- given back and the hold is settled: captured, or released when nothing was ever taken; without, the rest stays held
-- until nothing is left. An inner room: metering calls it together with the request that it pays for.
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
        RETURN ledger_hold_answer('not_found', v_hold, NULL, NULL);
    END IF;
    v_done := ledger_replay(v_hold.user_id, 'capture_hold', p_idempotency_key, p_fingerprint);
    v_outcome := coalesce(
        v_done.outcome,
        ledger_operation_replay(v_hold.user_id, 'capture_hold', p_idempotency_key, p_fingerprint),
        CASE WHEN v_hold.status <> 'open' THEN 'hold_' || v_hold.status
            WHEN v_credits > v_left THEN 'capture_exceeds_hold' END);
    IF v_outcome IS NOT NULL THEN
        RETURN ledger_hold_answer(v_outcome, v_hold, v_done.entry_id, v_done.created_at);
    END IF;

    -- The hold before the balance moves: should it run out this very moment, it is settled for what is left of it.
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
    RETURN ledger_hold_answer('captured', v_hold, v_done.entry_id, v_done.created_at);
END $$;

-- Give back `p_credits` of a debit (NULL: all that was not given back yet) by an entry that says which. An inner room.
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
    RETURN ledger_move(
        p_debit.user_id, 'credit', 'refund', v_credits, p_description, p_debit.reference,
        jsonb_build_object('charge_id', p_debit.id), 'refund', p_idempotency_key, p_fingerprint, p_debit.id);
END $$;
