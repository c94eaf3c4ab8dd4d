-- What migration 0002_rules of ledger runs: written by freeze_sql from sql/current/, never edited.

-- What came of an attempt to change the terms.
--   outcome      changed | replayed | key_reused | unchanged (they are so already) | too_low
--   change_id    the row that says so, with `changed` and `replayed`
--   overdrawn    with `too_low`: credits by which the customer is overdrawn now, holds included
CREATE TYPE ledger_terms_outcome AS (
    outcome text,
    change_id bigint,
    overdrawn numeric
);

-- One debit that is asked for.
CREATE TYPE ledger_debit AS (
    id bigint,
    credits numeric,
    description text,
    reference text,
    metadata jsonb,
    idempotency_key text,
    fingerprint bytea
);

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

-- Credits of a grant that expire (negative: that a period brings), and when. Without `entry_id`: of all grants.
CREATE TYPE ledger_grant_expiry AS (entry_id bigint, credits numeric, expired_at timestamptz);

-- A grant as it stands. `ran_out_seq`: its time had come after this entry; NULL: it has not.
CREATE TYPE ledger_grant_state AS (
    entry_id bigint, seq bigint, amount numeric, remaining numeric, expired numeric, category text, priority smallint,
    effective_at timestamptz, expires_at timestamptz, ran_out_seq bigint, expired_at timestamptz, created_at timestamptz
);

CREATE TYPE ledger_grant_draw AS (
    entry_id bigint, first_seq bigint, last_seq bigint, first_credits numeric, last_credits numeric, credits numeric
);

-- How grants stand once all entries up to `seq` have drawn on them: those that were looked at, what was drawn, and what
-- has expired since (negative: what periods that began since have brought).
CREATE TYPE ledger_grants_standing AS (
    seq bigint, overdrawn numeric, grants ledger_grant_state[], drawn ledger_grant_draw[], expiries ledger_grant_expiry[]
);

-- One step of the settlement, and the balance before it. `seq` is its place; a step without `id` is no entry.
--   reversed_seq, reversed_amount    the entry that it takes back
--   grant_id                         the grant that it expires: its draw is written already
--   kind                             0: the time of grant `grant_id` had come before; 1: an entry; 2: the end
CREATE TYPE ledger_grant_move AS (
    seq bigint, kind integer, id bigint, amount numeric, before numeric, reason text, reverses_id bigint,
    reversed_seq bigint, reversed_amount numeric, grant_id bigint, created_at timestamptz
);

-- A burn-down that has reached entry `seq`, and will end with entry `last_seq`.
--   total, kept    the balance after it, and what is left of grants that have ended, for holds
--   ids, places    of the grants: rising, and where each of them is in `grants`
CREATE TYPE ledger_burn_down_state AS (
    seq bigint, last_seq bigint, total numeric, overdrawn numeric, moves ledger_grant_move[],
    grants ledger_grant_state[], ids bigint[], places integer[], remaining numeric[], has_ended boolean[], kept numeric
);

-- Debits that draw on grants together, or (`is_expiry`) the entry that expires a grant: its draw is written already.
--   own_id    the grant that they draw on before all others
CREATE TYPE ledger_debit_run AS (
    first_seq bigint, last_seq bigint, credits numeric, is_capture boolean, own_id bigint, is_expiry boolean
);

-- What changes of a grant: signed credits of what is left of it, and (unless NULL) its amount.
CREATE TYPE ledger_grant_change AS (place integer, entry_id bigint, credits numeric, amount numeric);

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

-- One step of a subscription that is due, and how it stands after it: a period begins, or (`begins` false) it has
-- ended.
--   credits, expires_at    what the period brings, and until when; of these
--   kept, kept_until       stay one period longer than the others
CREATE TYPE ledger_due_period AS (
    subscription_id bigint, status text, plan_id bigint, billing_interval text, credits_per_period numeric,
    rollover_cap numeric, months_elapsed integer, starts_at timestamptz, ends_at timestamptz,
    next_grant_at timestamptz, begins boolean, credits numeric, expires_at timestamptz, kept numeric,
    kept_until timestamptz
);

-- Note where every ledger ends now. Customers of `p_kept` keep the place that the anchor before named.
CREATE FUNCTION ledger_begin_anchor(p_kept bigint[], OUT anchor_id bigint, OUT taken_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_before bigint := (SELECT max(id) FROM ledger_anchor);
BEGIN
    anchor_id := nextval(pg_get_serial_sequence('ledger_anchor', 'id'));
    taken_at := clock_timestamp();
    INSERT INTO ledger_anchorplace (anchor_id, user_id, seq, seal)
    SELECT ledger_begin_anchor.anchor_id, b.user_id, last.seq, last.seal
    FROM ledger_balance b
    -- LIMIT: so that each ledger is asked for its end, and none is read as a whole.
    CROSS JOIN LATERAL (
        SELECT e.seq, e.seal FROM ledger_entry e WHERE e.user_id = b.user_id AND e.seq = b.seq LIMIT 1
    ) last
    WHERE b.user_id <> ALL (p_kept)
    UNION ALL
    SELECT ledger_begin_anchor.anchor_id, p.user_id, p.seq, p.seal
    FROM ledger_anchorplace p WHERE p.anchor_id = v_before AND p.user_id = ANY (p_kept);
END $$;

-- Complete an anchor that was begun, and forget all but the newest thirty.
CREATE FUNCTION ledger_sign_anchor(
    p_anchor_id bigint, p_taken_at timestamptz, p_customers bigint, p_digest bytea, p_key_id text, p_signature bytea
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_oldest bigint;
BEGIN
    INSERT INTO ledger_anchor (id, taken_at, customers, digest, key_id, signature)
    VALUES (p_anchor_id, p_taken_at, p_customers, p_digest, p_key_id, p_signature);
    v_oldest := ledger_oldest_anchor();
    IF EXISTS (SELECT FROM ledger_anchor WHERE id < v_oldest) THEN
        DELETE FROM ledger_anchorplace WHERE anchor_id < v_oldest;
        DELETE FROM ledger_anchor WHERE id < v_oldest;
    END IF;
END $$;

-- Name the thirtieth newest anchor; null while there are fewer.
CREATE FUNCTION ledger_oldest_anchor() RETURNS bigint LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT id FROM ledger_anchor ORDER BY id DESC OFFSET 29 LIMIT 1
$$;

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

-- The change that was made under a key, if any; NULL in `outcome` when the key is new. The caller has locked the
-- balance row, so a twin has either committed or not begun.
CREATE FUNCTION ledger_replay_terms(
    p_user_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_terms_outcome LANGUAGE plpgsql STABLE AS $$
DECLARE
    r ledger_terms_outcome;
    v_fingerprint bytea;
BEGIN
    SELECT id, fingerprint INTO r.change_id, v_fingerprint
    FROM ledger_termschange WHERE user_id = p_user_id AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN v_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
    END IF;
    RETURN r;
END $$;

-- Freeze a balance, or end that. From a frozen one nothing is spent or held; credits still come in, and open holds may
-- still be captured, released and expire.
CREATE FUNCTION ledger_freeze(
    p_user_id bigint, p_frozen boolean, p_note text, p_actor_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_terms_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    r ledger_terms_outcome;
    v_now timestamptz;
BEGIN
    r := ledger_replay_terms(p_user_id, p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_frozen = (v_balance.frozen_at IS NOT NULL) THEN
        r.outcome := 'unchanged';
        RETURN r;
    END IF;
    v_now := clock_timestamp();
    UPDATE ledger_balance SET frozen_at = CASE WHEN p_frozen THEN v_now END WHERE user_id = p_user_id;
    INSERT INTO ledger_termschange (user_id, kind, note, actor_id, idempotency_key, fingerprint, created_at)
    VALUES (
        p_user_id, CASE WHEN p_frozen THEN 'freeze' ELSE 'unfreeze' END, p_note, p_actor_id, p_idempotency_key,
        p_fingerprint, v_now)
    RETURNING id INTO r.change_id;
    r.outcome := 'changed';
    RETURN r;
END $$;

-- Let a customer's available credits fall to -`p_limit` (0 or more credits). A limit below what is overdrawn
-- already is refused: the balance would break its own rule.
CREATE FUNCTION ledger_set_overdraft(
    p_user_id bigint, p_limit numeric, p_note text, p_actor_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_terms_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    r ledger_terms_outcome;
BEGIN
    PERFORM ledger_refuse_inexact(p_limit);
    r := ledger_replay_terms(p_user_id, p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_limit = v_balance.overdraft_limit THEN
        r.outcome := 'unchanged';
        RETURN r;
    END IF;
    IF p_limit < v_balance.reserved - v_balance.balance THEN
        r.outcome := 'too_low';
        r.overdrawn := v_balance.reserved - v_balance.balance;
        RETURN r;
    END IF;
    UPDATE ledger_balance SET overdraft_limit = p_limit WHERE user_id = p_user_id;
    INSERT INTO ledger_termschange (
        user_id, kind, limit_before, limit_after, note, actor_id, idempotency_key, fingerprint, created_at)
    VALUES (
        p_user_id, 'overdraft', v_balance.overdraft_limit, p_limit, p_note, p_actor_id, p_idempotency_key,
        p_fingerprint, clock_timestamp())
    RETURNING id INTO r.change_id;
    PERFORM ledger_collect_owed_credits(p_user_id);
    r.outcome := 'changed';
    RETURN r;
END $$;

-- Debit in the order given; what is not covered is refused, and what comes after it may still be. A debit of nothing
-- makes no entry: its outcome says what there is when its turn comes. A NULL among them is left out. The caller has
-- locked `p_locked` (ledger_lock_balance) and has looked the keys up under it. `p_most` is the most that may be debited
-- in all (NULL: no such limit); beyond it the reason is key_limit. Returns one outcome for each place.
CREATE FUNCTION ledger_debit_batch(
    p_locked ledger_balance, p_operation text, p_debits ledger_debit[], p_most numeric
) RETURNS ledger_outcome[] LANGUAGE plpgsql AS $$
DECLARE
    v_at timestamptz := greatest(clock_timestamp(), p_locked.updated_at);
    v_floor numeric := CASE WHEN p_locked.frozen_at IS NULL THEN p_locked.reserved - p_locked.overdraft_limit END;
    v_balance numeric := p_locked.balance;
    v_seq bigint := p_locked.seq;
    v_seal bytea := p_locked.seal;
    v_left numeric := p_most;
    v_seals bytea[] := '{}';
    v_outcomes ledger_outcome[] := '{}';
    v_outcome ledger_outcome;
    d ledger_debit;
BEGIN
    FOREACH d IN ARRAY p_debits LOOP
        PERFORM ledger_refuse_inexact(d.credits);
        IF d.credits IS NULL THEN
            v_outcome := NULL;
        ELSIF d.credits < 0 THEN
            RAISE EXCEPTION '% is no debit', d.credits USING ERRCODE = 'check_violation';
        ELSIF d.credits = 0 THEN
            v_outcome := ROW(
                'posted', NULL, NULL, v_balance, p_locked.reserved, v_balance - p_locked.reserved, NULL, NULL, v_at);
        ELSIF d.credits > v_left OR v_floor IS NULL OR v_balance - d.credits < v_floor THEN
            p_locked.balance := v_balance;
            v_outcome := ledger_refusal(p_locked, d.credits);
            v_outcome.created_at := v_at;
            IF d.credits > v_left THEN
                v_outcome.reason := 'key_limit';
            END IF;
        ELSE
            v_balance := v_balance - d.credits;
            v_left := v_left - d.credits;
            v_seq := v_seq + 1;
            v_seal := ledger_seal(
                v_seal, p_locked.user_id, v_seq, 'debit', 'usage', -d.credits, v_balance, d.description, d.reference,
                d.metadata, p_operation, d.idempotency_key, d.fingerprint, NULL, NULL, v_at);
            v_outcome := ROW(
                'posted', d.id, v_seq, v_balance, p_locked.reserved, v_balance - p_locked.reserved, NULL, NULL, v_at);
        END IF;
        v_outcomes := array_append(v_outcomes, v_outcome);
        v_seals := array_append(v_seals, CASE WHEN v_outcome.entry_id IS NOT NULL THEN v_seal END);
    END LOOP;

    IF v_seq > p_locked.seq THEN
        INSERT INTO ledger_entry (
            id, user_id, seq, type, reason, amount, balance_after, description, reference, metadata, operation,
            idempotency_key, fingerprint, created_at, seal)
        SELECT id, p_locked.user_id, seq, 'debit', 'usage', -credits, balance, description, reference, metadata,
            p_operation, idempotency_key, fingerprint, v_at, seal
        FROM ROWS FROM (unnest(p_debits), unnest(v_outcomes), unnest(v_seals)) AS made(
            id, credits, description, reference, metadata, idempotency_key, fingerprint,
            outcome, entry_id, seq, balance, reserved, available, reason, next_hold_expires_at, created_at, seal)
        WHERE entry_id IS NOT NULL ORDER BY seq;
        UPDATE ledger_balance SET balance = v_balance, seq = v_seq, seal = v_seal, updated_at = v_at
        WHERE user_id = p_locked.user_id;
    END IF;
    RETURN v_outcomes;
END $$;

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

-- Post a credit that is a grant with terms of its own. NULL terms are the usual ones.
--   outcome    as ledger_post_entry, and untimely (it would begin later than now, or end before)
CREATE FUNCTION ledger_open_grant(
    p_user_id bigint, p_reason text, p_amount numeric, p_description text, p_reference text, p_metadata jsonb,
    p_operation text, p_idempotency_key text, p_fingerprint bytea, p_category text, p_priority integer,
    p_effective_at timestamptz, p_expires_at timestamptz
) RETURNS ledger_outcome LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_outcome := ledger_replay(p_user_id, p_operation, p_idempotency_key, p_fingerprint);
    v_now timestamptz := clock_timestamp();
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_effective_at > v_now OR p_expires_at <= v_now THEN
        r.outcome := 'untimely';
        RETURN r;
    END IF;
    IF p_reason NOT IN ('purchase', 'grant', 'auto_reload') THEN
        RAISE EXCEPTION 'no grant is opened for the reason %', p_reason USING ERRCODE = 'check_violation';
    END IF;
    PERFORM ledger_refuse_inexact(p_amount);
    r := ledger_move(
        p_user_id, 'credit', p_reason, p_amount, p_description, p_reference, p_metadata, p_operation,
        p_idempotency_key, p_fingerprint);
    IF r.outcome = 'posted' THEN
        INSERT INTO ledger_grant (
            entry_id, user_id, seq, amount, remaining, category, priority, effective_at, expires_at, created_at)
        VALUES (
            r.entry_id, p_user_id, r.seq, p_amount, p_amount,
            coalesce(p_category, CASE p_reason WHEN 'grant' THEN 'promotional' ELSE 'paid' END),
            coalesce(p_priority, 50), least(coalesce(p_effective_at, r.created_at), v_now), p_expires_at, r.created_at);
        UPDATE ledger_balance SET next_expiry_at = p_expires_at
        WHERE user_id = p_user_id AND next_expiry_at > p_expires_at;
        PERFORM ledger_collect_owed_credits(p_user_id);
    END IF;
    RETURN r;
END $$;

-- Settle what has expired, and at most `p_most` moves of the history further. Nobody is locked when there is nothing to
-- do. A caller that repeats it in transactions of its own gets through any history.
--   unsettled     entries that are left to settle
--   expiries      entries that this made
CREATE FUNCTION ledger_settle_grants(
    p_user_id bigint, p_most bigint, OUT unsettled bigint, OUT expiries bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_grants_standing;
    v_seq bigint;
BEGIN
    unsettled := 0;
    expiries := 0;
    PERFORM FROM ledger_balance b LEFT JOIN ledger_grantprogress p USING (user_id)
    WHERE b.user_id = p_user_id AND (b.seq > coalesce(p.seq, 0) OR b.next_expiry_at <= clock_timestamp());
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT seq INTO v_seq FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    r := ledger_burn_down(p_user_id, NULL, p_most);
    PERFORM ledger_note_grants(p_user_id, r);
    unsettled := v_seq - r.seq;
    IF unsettled = 0 THEN
        PERFORM ledger_settle_due(p_user_id);
        expiries := (SELECT seq - v_seq FROM ledger_balance WHERE user_id = p_user_id);
        IF expiries > 0 THEN  -- what that made available may have been owed, and taken at once
            r := ledger_burn_down(p_user_id, NULL, p_most);
            PERFORM ledger_note_grants(p_user_id, r);
            unsettled := v_seq + expiries - r.seq;
        END IF;
    END IF;
END $$;

-- Write down how grants stand. The caller has locked the balance row.
CREATE FUNCTION ledger_note_grants(p_user_id bigint, r ledger_grants_standing) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_grant g SET
        remaining = s.remaining, expired = s.expired, has_run_out = s.ran_out_seq IS NOT NULL,
        ran_out_seq = s.ran_out_seq, expired_at = s.expired_at
    FROM unnest(r.grants) s
    WHERE g.entry_id = s.entry_id
        AND (g.remaining, g.expired, g.ran_out_seq) IS DISTINCT FROM (s.remaining, s.expired, s.ran_out_seq);
    INSERT INTO ledger_grant (
        entry_id, user_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, has_run_out,
        ran_out_seq, expired_at, created_at)
    SELECT entry_id, p_user_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at,
        ran_out_seq IS NOT NULL, ran_out_seq, expired_at, created_at
    FROM unnest(r.grants) s
    WHERE amount > 0 AND entry_id > 0 AND NOT EXISTS (SELECT FROM ledger_grant g WHERE g.entry_id = s.entry_id)
    ORDER BY entry_id;
    INSERT INTO ledger_grantdraw (user_id, grant_id, first_seq, last_seq, first_credits, last_credits, credits)
    SELECT p_user_id, entry_id, first_seq, last_seq, first_credits, last_credits, credits
    FROM unnest(r.drawn) WITH ORDINALITY
        AS d(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
    ORDER BY place;
    IF r.seq IS NOT NULL THEN
        INSERT INTO ledger_grantprogress (user_id, seq, overdrawn) VALUES (p_user_id, r.seq, r.overdrawn)
        ON CONFLICT (user_id) DO UPDATE SET seq = excluded.seq, overdrawn = excluded.overdrawn;
    END IF;
END $$;

-- How many moves are settled in one transaction: more than the entries after which `balance_notes_crossing` has it
-- done.
CREATE FUNCTION ledger_moves_at_once() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1500';

-- Does a customer's history hold more moves than are settled at once?
CREATE FUNCTION ledger_is_far_behind(p_user_id bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (SELECT seq FROM ledger_balance WHERE user_id = p_user_id) > done.seq + ledger_moves_at_once() AND EXISTS (
        SELECT FROM (
            (SELECT FROM ledger_entry WHERE user_id = p_user_id AND type = 'credit' AND seq > done.seq
             LIMIT ledger_moves_at_once() + 1)
            UNION ALL
            (SELECT FROM ledger_entry WHERE user_id = p_user_id AND type = 'adjustment' AND seq > done.seq
             LIMIT ledger_moves_at_once() + 1)
        ) moves OFFSET ledger_moves_at_once())
    FROM (
        SELECT coalesce((SELECT seq FROM ledger_grantprogress WHERE user_id = p_user_id), 0) AS seq
    ) done
$$;

-- May the past of a customer who is far behind be left for later? Not once grants with terms of their own stand in what
-- is settled, not even if nothing is left of them: refunds that are not settled yet may restore some of them.
CREATE FUNCTION ledger_may_skip(p_user_id bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT ledger_is_far_behind(p_user_id) AND NOT EXISTS (
        SELECT FROM ledger_grant g
        WHERE g.user_id = p_user_id AND (g.expires_at IS NOT NULL OR g.priority <> 50)
            AND g.seq <= coalesce((SELECT p.seq FROM ledger_grantprogress p WHERE p.user_id = p_user_id), 0))
$$;

-- Refuse to settle in one transaction what is more than four times as long as is settled at once. Who is refused calls
-- `ledger_settle_grants` until it is done, each time in a transaction of its own, and tries again.
CREATE FUNCTION ledger_refuse_long_history(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(ledger_grant_moves(
        p_user_id, coalesce((SELECT seq FROM ledger_grantprogress WHERE user_id = p_user_id), 0),
        4 * ledger_moves_at_once() + 1)) > 4 * ledger_moves_at_once()
    THEN
        RAISE EXCEPTION 'the grants of customer % are to be settled first', p_user_id
            USING ERRCODE = 'TB001', DETAIL = p_user_id::text;
    END IF;
END $$;

-- Has the customer, or had, credits that end? Without them nothing about grants changes what there is.
CREATE FUNCTION ledger_has_grants_that_end(p_user_id bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM ledger_grant WHERE user_id = p_user_id AND expires_at IS NOT NULL)
$$;

-- The place of a grant; NULL: it is not among them. width_bucket() finds it sooner, but copies the array first.
CREATE FUNCTION ledger_place_of_grant(p_ids bigint[], p_places integer[], p_id bigint) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    i integer := CASE WHEN cardinality(p_ids) < 4096 THEN width_bucket(p_id, p_ids)
        ELSE ledger_places_to(p_ids, p_id) END;
BEGIN
    RETURN CASE WHEN p_ids[i] = p_id THEN p_places[i] END;
END $$;

CREATE FUNCTION ledger_balance_at(p_user_id bigint, p_seq bigint) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT balance_after FROM ledger_entry WHERE user_id = p_user_id AND seq = p_seq), 0)
$$;

-- The moves of a burn-down in their order, and between them the times at which grants ended; the last one is the end.
CREATE FUNCTION ledger_grant_steps(
    p_user_id bigint, p_from bigint, p_last bigint, p_end numeric, p_moves ledger_grant_move[],
    p_grants ledger_grant_state[]
) RETURNS ledger_grant_move[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY(
        SELECT step.move FROM (
            SELECT ROW((u).*)::ledger_grant_move AS move FROM unnest(p_moves) u
            UNION ALL
            SELECT ROW(ran_out_seq + 1, 0, NULL, 0, ledger_balance_at(p_user_id, ran_out_seq), NULL, NULL, NULL, NULL,
                       entry_id, NULL)::ledger_grant_move
            FROM unnest(p_grants) WHERE ran_out_seq > p_from AND ran_out_seq < p_last
            UNION ALL
            SELECT ROW(p_last + 1, 2, NULL, 0, p_end, NULL, NULL, NULL, NULL, NULL, NULL)::ledger_grant_move
        ) step ORDER BY (step.move).seq, (step.move).kind)
$$;

-- Read what a burn-down works on.
CREATE FUNCTION ledger_start_burn_down(
    p_user_id bigint, p_now timestamptz, p_most bigint, p_skips boolean
) RETURNS ledger_burn_down_state LANGUAGE plpgsql STABLE AS $$
DECLARE
    s ledger_burn_down_state;
    v_end numeric;
    v_need numeric;
BEGIN
    SELECT b.seq, coalesce(p.seq, 0), coalesce(p.overdrawn, 0) INTO s.last_seq, s.seq, s.overdrawn
    FROM ledger_balance b LEFT JOIN ledger_grantprogress p USING (user_id) WHERE b.user_id = p_user_id;
    IF p_skips THEN
        s.seq := coalesce((
            SELECT min(seq) - 1 FROM ledger_grant
            WHERE user_id = p_user_id AND seq > s.seq AND (expires_at IS NOT NULL OR priority <> 50)), s.last_seq);
    END IF;
    s.total := ledger_balance_at(p_user_id, s.seq);
    s.moves := ledger_grant_moves(p_user_id, s.seq, p_most + 1);
    IF cardinality(s.moves) > p_most THEN
        s.last_seq := s.moves[p_most + 1].seq - 1;
        s.moves := s.moves[:p_most];
    END IF;
    v_end := ledger_balance_at(p_user_id, s.last_seq);

    SELECT s.total - v_end + coalesce(sum(amount) FILTER (WHERE amount > 0), 0) INTO v_need FROM unnest(s.moves);
    s.grants := ledger_grants_concerned(p_user_id, s.seq, s.moves, v_need, p_now, p_skips);
    s.moves := ledger_grant_steps(p_user_id, s.seq, s.last_seq, v_end, s.moves, s.grants);
    SELECT array_agg(entry_id ORDER BY entry_id), array_agg(place::integer ORDER BY entry_id),
        array_agg(remaining ORDER BY place), array_agg(coalesce(ran_out_seq <= s.seq, false) ORDER BY place),
        coalesce(sum(remaining) FILTER (WHERE ran_out_seq <= s.seq), 0)
    INTO s.ids, s.places, s.remaining, s.has_ended, s.kept
    FROM unnest(s.grants) WITH ORDINALITY AS g(
        entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq, expired_at,
        created_at, place);
    IF p_skips THEN  -- grant 0 is the first
        s.remaining[s.places[1]] := greatest(s.total, 0);
        s.overdrawn := greatest(-s.total, 0);
    END IF;
    RETURN s;
END $$;

-- The debits after place `p_at` that come before a move, together, and then the move itself if it is a debit; NULL:
-- there is none. While grants keep something for holds (`p_kept`) captures and other debits differ, so each is looked
-- at.
CREATE FUNCTION ledger_next_debits(
    p_user_id bigint, p_at bigint, p_total numeric, p_kept numeric, m ledger_grant_move
) RETURNS ledger_debit_run LANGUAGE plpgsql STABLE AS $$
DECLARE
    r ledger_debit_run;
BEGIN
    IF p_at + 1 < m.seq THEN
        r.first_seq := p_at + 1;
        IF p_kept = 0 THEN
            r.last_seq := m.seq - 1;
            r.credits := p_total - m.before;
        ELSE
            r.last_seq := r.first_seq;
            SELECT -amount, reason = 'capture' INTO r.credits, r.is_capture
            FROM ledger_entry WHERE user_id = p_user_id AND seq = r.first_seq;
        END IF;
    ELSIF m.kind = 1 AND p_at + 1 = m.seq AND m.amount < 0 THEN
        r.first_seq := m.seq;
        r.last_seq := m.seq;
        r.credits := -m.amount;
        r.own_id := coalesce(m.grant_id, m.reverses_id);
        r.is_expiry := m.grant_id IS NOT NULL;
    END IF;
    RETURN r;
END $$;

-- What debits draw on: first on the grant of their own, then, if they capture, on grants that have ended, and then on
-- the others in their order, of which none before `p_first` has anything left. With `p_skips` grant 0, the first,
-- stands for a grant of their own that is not there.
CREATE FUNCTION ledger_changes_by_debits(
    p_run ledger_debit_run, p_skips boolean, p_ids bigint[], p_places integer[], p_first integer,
    p_grants ledger_grant_state[], p_left numeric[], p_has_ended boolean[]
) RETURNS ledger_grant_change[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_changes ledger_grant_change[] := '{}';
    v_own integer := ledger_place_of_grant(p_ids, p_places, p_run.own_id);
    v_need numeric := p_run.credits;
    v_part numeric;
    i integer;
BEGIN
    IF v_own IS NULL AND p_skips AND NOT p_run.is_expiry THEN
        v_own := p_places[1];
    END IF;
    IF p_left[v_own] > 0 AND v_need > 0 THEN
        v_part := least(p_left[v_own], v_need);
        v_need := v_need - v_part;
        v_changes := ARRAY[ROW(v_own, p_grants[v_own].entry_id, -v_part, NULL)::ledger_grant_change];
    END IF;
    IF p_run.is_expiry THEN
        RETURN v_changes;
    END IF;
    FOR v_pass IN CASE WHEN p_run.is_capture THEN 1 ELSE 2 END .. 2 LOOP
        i := CASE v_pass WHEN 1 THEN 1 ELSE p_first END;
        WHILE v_need > 0 AND i <= cardinality(p_left) LOOP
            IF p_left[i] > 0 AND p_has_ended[i] = (v_pass = 1) AND i IS DISTINCT FROM v_own THEN
                v_part := least(p_left[i], v_need);
                v_need := v_need - v_part;
                v_changes := array_append(
                    v_changes, ROW(i, p_grants[i].entry_id, -v_part, NULL)::ledger_grant_change);
            END IF;
            i := i + 1;
        END LOOP;
    END LOOP;
    RETURN v_changes;
END $$;

-- Which debits of a run drew on each of the grants that it changed, and how much the first and the last of them did.
-- `p_total`: the balance before the run.
CREATE FUNCTION ledger_rows_of_debits(
    p_user_id bigint, p_run ledger_debit_run, p_total numeric, p_changes ledger_grant_change[]
) RETURNS ledger_grant_draw[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_rows ledger_grant_draw[] := '{}';
    v_row ledger_grant_draw;
    v_next bigint := p_run.first_seq;
    v_before numeric := 0;  -- credits of the run, before the draw and
    v_done numeric := 0;    -- after it
    c ledger_grant_change;
BEGIN
    IF p_run.is_expiry THEN
        RETURN v_rows;
    END IF;
    FOREACH c IN ARRAY p_changes LOOP
        v_before := v_done;
        v_done := v_done - c.credits;
        v_row := ROW(c.entry_id, v_next, p_run.last_seq, -c.credits, -c.credits, -c.credits);
        IF p_run.first_seq < p_run.last_seq THEN
            IF v_done < p_run.credits THEN
                v_row.last_seq := ledger_place_of_draw(p_user_id, v_next, p_run.last_seq, p_total, v_done);
            END IF;
            IF v_row.first_seq < v_row.last_seq THEN
                v_row.first_credits := least(
                    v_row.credits, p_total - ledger_balance_at(p_user_id, v_next) - v_before);
                v_row.last_credits := v_done - (p_total - ledger_balance_at(p_user_id, v_row.last_seq - 1));
            END IF;
            v_next := v_row.last_seq;
            IF v_done < p_run.credits AND p_total - ledger_balance_at(p_user_id, v_next) = v_done THEN
                v_next := v_next + 1;
            END IF;
        END IF;
        v_rows := array_append(v_rows, v_row);
    END LOOP;
    RETURN v_rows;
END $$;

-- Let the entries since the last time draw on grants, without writing anything: at most `p_most` moves further.
--
-- A debit uses grants by priority, soonest expiry, promotional before paid, effective time, id. A capture first uses
-- grants that have ended and that its hold kept; no other debit does. A reversal of a purchase first uses the grant of
-- that purchase, and an expiry its own grant alone. What no grant covers is overdrawn, and the next credits pay it,
-- whatever brings them. What is left of a refund goes to the grants that the debit used, the last one first; what no
-- grant had paid opens a grant. Nothing is restored twice.
--
-- With `p_skips`, entries before the first grant with terms of its own since then are not looked at: until then the
-- balance alone says what there was, since all of it stays for ever and is spent alike.
--
-- The arrays below are changed in place, and functions only read them: a copy for each move would make the work
-- quadratic.
CREATE FUNCTION ledger_burn_down(
    p_user_id bigint, p_now timestamptz, p_most bigint DEFAULT NULL, p_skips boolean DEFAULT false
) RETURNS ledger_grants_standing LANGUAGE plpgsql STABLE AS $$
DECLARE
    s ledger_burn_down_state := ledger_start_burn_down(p_user_id, p_now, p_most, p_skips);
    v_from bigint := s.seq;
    v_ids bigint[] := s.ids;
    v_places integer[] := s.places;
    v_grants ledger_grant_state[] := s.grants;
    v_left numeric[] := s.remaining;
    v_has_ended boolean[] := s.has_ended;
    v_first integer := 1;   -- no grant before it has anything left
    v_rows ledger_grant_draw[] := '{}';
    v_new_rows ledger_grant_draw[];
    v_run ledger_debit_run;
    v_changes ledger_grant_change[];
    v_reversed bigint;      -- the entry that was reversed last, and
    v_level numeric;        -- what of it was taken and not given back
    v_row ledger_grant_draw;
    m ledger_grant_move;
    c ledger_grant_change;
    i integer;
BEGIN
    FOREACH m IN ARRAY s.moves LOOP
        LOOP
            v_run := ledger_next_debits(p_user_id, s.seq, s.total, s.kept, m);
            IF v_run.first_seq IS NOT NULL THEN
                v_changes := ledger_changes_by_debits(
                    v_run, p_skips, v_ids, v_places, v_first, v_grants, v_left, v_has_ended);
                v_new_rows := ledger_rows_of_debits(p_user_id, v_run, s.total, v_changes);
                s.overdrawn := s.overdrawn + v_run.credits;
                s.total := s.total - v_run.credits;
                s.seq := v_run.last_seq;
            ELSE
                EXIT WHEN m.amount <= 0;
                IF m.reverses_id IS DISTINCT FROM v_reversed THEN
                    v_level := ledger_level_of_reversed(m);
                END IF;
                v_reversed := m.reverses_id;
                v_changes := ledger_changes_by_credit(
                    p_user_id, m, least(s.overdrawn, m.amount), v_level, v_from, p_skips, v_rows);
                v_new_rows := ledger_rows_of_credit(m, least(s.overdrawn, m.amount), v_changes);
                v_level := v_level - m.amount;
                s.overdrawn := greatest(s.overdrawn - m.amount, 0);  -- paid first, whatever comes in
            END IF;
            FOREACH c IN ARRAY v_changes LOOP
                i := coalesce(c.place, ledger_place_of_grant(v_ids, v_places, c.entry_id));
                v_left[i] := v_left[i] + c.credits;
                v_first := least(v_first, i);
                s.kept := s.kept + CASE WHEN v_has_ended[i] THEN c.credits ELSE 0 END;
                s.overdrawn := s.overdrawn + CASE WHEN v_run.first_seq IS NULL THEN 0 ELSE c.credits END;
                IF c.amount IS NOT NULL THEN
                    v_grants[i].amount := c.amount;
                ELSIF v_run.is_expiry THEN
                    v_grants[i].expired := v_grants[i].expired - c.credits;
                    v_grants[i].expired_at := m.created_at;
                END IF;
            END LOOP;
            FOREACH v_row IN ARRAY v_new_rows LOOP
                v_rows := array_append(v_rows, v_row);
            END LOOP;
            WHILE v_left[v_first] = 0 LOOP
                v_first := v_first + 1;
            END LOOP;
            EXIT WHEN v_run.first_seq IS NULL;
        END LOOP;
        s.seq := CASE m.kind WHEN 1 THEN m.seq ELSE s.seq END;
        s.total := m.before + m.amount;
        IF m.kind = 0 THEN
            i := ledger_place_of_grant(v_ids, v_places, m.grant_id);
            v_has_ended[i] := true;
            s.kept := s.kept + v_left[i];
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(v_grants) LOOP
        v_grants[i].remaining := v_left[i];
    END LOOP;
    RETURN ROW(s.last_seq, s.overdrawn, v_grants, v_rows, '{}'::ledger_grant_expiry[]);
END $$;

-- The steps of the customer's subscription that are due by `p_now`, in their order. What they bring hangs on the
-- subscription alone, so it is the same whenever somebody asks.
--
-- Of what a period brings, as much outlives its end as the cap says, counted together with what earlier periods
-- brought: each grant ends so many periods later that what has not ended never exceeds the cap, and whatever ends
-- sooner is spent first.
CREATE FUNCTION ledger_periods_due(p_user_id bigint, p_now timestamptz) RETURNS SETOF ledger_due_period
LANGUAGE plpgsql STABLE AS $$
DECLARE
    s accounts_subscription;
    d ledger_due_period;
    v_due timestamptz := ledger_subscription_due_at(p_user_id);
    v_whole timestamptz;    -- the end of the period if the subscription does not end before
    v_periods numeric;      -- that the credits outlive their own, all of them
BEGIN
    IF v_due IS NULL OR p_now IS NULL OR v_due > p_now THEN
        RETURN;
    END IF;
    SELECT * INTO s FROM accounts_subscription
    WHERE user_id = p_user_id AND status IN ('active', 'paused') AND anchor_at IS NOT NULL;
    d.subscription_id := s.id;
    d.begins := s.status = 'active' AND v_due = s.current_period_start;
    LOOP
        IF NOT d.begins THEN
            d.begins := s.status = 'active' AND NOT s.cancel_at_period_end
                AND (s.ends_at IS NULL OR s.ends_at > s.current_period_end);
            IF d.begins THEN
                s.months_elapsed := s.months_elapsed + ledger_months_of(s.billing_interval);
                s.current_period_start := s.current_period_end;
                IF s.pending_plan_id IS NOT NULL THEN
                    s.plan_id := s.pending_plan_id;
                    s.billing_interval := s.pending_interval;
                    s.credits_per_period := s.pending_credits;
                    s.rollover_cap := s.pending_rollover_cap;
                    s.pending_plan_id := NULL;
                END IF;
            ELSE
                s.status := CASE WHEN s.cancel_at_period_end THEN 'canceled' ELSE 'expired' END;
            END IF;
        END IF;
        d.status := s.status;
        d.plan_id := s.plan_id;
        d.billing_interval := s.billing_interval;
        d.credits_per_period := s.credits_per_period;
        d.rollover_cap := s.rollover_cap;
        d.months_elapsed := s.months_elapsed;
        d.starts_at := s.current_period_start;
        d.credits := 0;
        d.kept := 0;
        d.next_grant_at := NULL;
        IF NOT d.begins THEN
            d.ends_at := s.current_period_end;
            RETURN NEXT d;
            RETURN;
        END IF;

        v_whole := ledger_months_after(s.anchor_at, s.months_elapsed + ledger_months_of(s.billing_interval));
        s.current_period_end := least(v_whole, s.ends_at);
        d.ends_at := s.current_period_end;
        IF NOT s.cancel_at_period_end AND (s.ends_at IS NULL OR s.ends_at > d.ends_at) THEN
            d.next_grant_at := d.ends_at;
        END IF;
        d.credits := CASE WHEN d.ends_at = v_whole THEN s.credits_per_period
            ELSE ledger_prorated(s.credits_per_period, d.ends_at - d.starts_at, v_whole - d.starts_at) END;
        d.expires_at := NULL;
        d.kept_until := NULL;
        IF s.rollover_cap IS NOT NULL AND d.credits > 0 THEN
            v_periods := div(s.rollover_cap, d.credits);
            IF v_periods < 1200 THEN  -- a hundred years of months are for ever
                d.kept := s.rollover_cap - v_periods * d.credits;
                d.expires_at := CASE v_periods WHEN 0 THEN d.ends_at ELSE ledger_months_after(
                    s.anchor_at,
                    s.months_elapsed + (1 + v_periods::integer) * ledger_months_of(s.billing_interval)) END;
                d.kept_until := ledger_months_after(
                    s.anchor_at, s.months_elapsed + (2 + v_periods::integer) * ledger_months_of(s.billing_interval));
            END IF;
        END IF;
        RETURN NEXT d;
        EXIT WHEN s.current_period_end > p_now;
        d.begins := false;
    END LOOP;
END $$;

-- The grants of periods that are due by `p_now`. They have no entries yet: that of the n-th period is -(2n - 1), and
-- the one that stays longer -2n.
CREATE FUNCTION ledger_grants_of_due_periods(p_user_id bigint, p_now timestamptz) RETURNS ledger_grant_state[]
LANGUAGE sql STABLE AS $$
    SELECT ARRAY(
        SELECT ROW(g.entry_id, 0, g.credits, 0, 0, 'paid', 50, due.starts_at, g.until, NULL, NULL,
                   due.starts_at)::ledger_grant_state
        FROM ledger_periods_due(p_user_id, p_now) WITH ORDINALITY AS due(
            subscription_id, status, plan_id, billing_interval, credits_per_period, rollover_cap, months_elapsed,
            starts_at, ends_at, next_grant_at, begins, credits, expires_at, kept, kept_until, place)
        CROSS JOIN LATERAL (VALUES
            (1 - 2 * place, credits - kept, expires_at), (-2 * place, kept, kept_until)
        ) AS g(entry_id, credits, until)
        WHERE g.credits > 0 ORDER BY g.entry_id DESC)
$$;

-- What happens to grants by `p_now`, in the order of time, `freed` credits of holds at a time. Where times are equal
-- holds expire (kind 0) before grants end (1), and these before periods begin (2). First of all comes a step at which
-- nothing happens.
CREATE FUNCTION ledger_grant_events(
    p_user_id bigint, p_now timestamptz, p_grants ledger_grant_state[]
) RETURNS TABLE (at timestamptz, freed numeric, place integer, kind integer) LANGUAGE sql STABLE AS $$
    WITH g AS (
        SELECT entry_id, effective_at, expires_at, ran_out_seq, place::integer
        FROM unnest(p_grants) WITH ORDINALITY AS g(
            entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq,
            expired_at, created_at, place)
    )
    SELECT '-infinity'::timestamptz AS at, 0::numeric, NULL::integer AS place, 0 AS kind
    UNION ALL
    SELECT expires_at, credits - captured, NULL, 0 FROM ledger_hold
    WHERE user_id = p_user_id AND status = 'open' AND expires_at <= p_now
    UNION ALL
    SELECT expires_at, 0, g.place, 1 FROM g WHERE expires_at <= p_now AND ran_out_seq IS NULL
    UNION ALL
    SELECT effective_at, 0, g.place, 2 FROM g WHERE entry_id < 0
    ORDER BY 1, 4, 3
$$;

-- Add what has happened since the last entry, each at its own time: holds that expire, grants that end, periods that
-- begin, in this order where times are equal. `r` stands at the last entry.
--
-- Once a grant's time has come only as much of it stays as open holds reserve, soonest expiry first, and what holds
-- reserve no longer is gone at that time. First of all goes what grants kept for holds that have meanwhile come to an
-- end, and what was given back to grants whose time has come.
CREATE FUNCTION ledger_grants_at(p_user_id bigint, p_now timestamptz, r ledger_grants_standing)
RETURNS ledger_grants_standing LANGUAGE plpgsql STABLE AS $$
DECLARE
    b ledger_balance;       -- as each entry that this leads to will leave it
    v_grants ledger_grant_state[] := r.grants;
    v_at timestamptz;
    v_kept numeric;         -- what is left of grants whose time has come
    v_stack integer[];       -- the places of those, the latest expiry on top, and
    v_top integer;          -- where that is
    v_part numeric;
    v_paid numeric;
    e record;
    i integer;
BEGIN
    SELECT * INTO b FROM ledger_balance WHERE user_id = p_user_id;
    v_at := b.updated_at;
    -- A grant that had nothing left when it ended, and was given something back since, stands among those that ended.
    FOR i IN 1 .. cardinality(v_grants) LOOP
        IF v_grants[i].ran_out_seq IS NULL AND v_grants[i].expires_at <= v_at THEN
            v_grants[i].ran_out_seq := b.seq;
        END IF;
    END LOOP;
    SELECT coalesce(sum(remaining), 0), coalesce(array_agg(place::integer ORDER BY expires_at, place), '{}'), count(*)
    INTO v_kept, v_stack, v_top
    FROM unnest(v_grants) WITH ORDINALITY AS g(
        entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq, expired_at,
        created_at, place)
    WHERE ran_out_seq IS NOT NULL AND remaining > 0;
    v_grants := v_grants || ledger_grants_of_due_periods(p_user_id, p_now);

    FOR e IN SELECT * FROM ledger_grant_events(p_user_id, p_now, v_grants) LOOP
        v_at := greatest(v_at, e.at);
        b.reserved := b.reserved - e.freed;
        i := e.place;
        IF e.kind = 2 THEN
            v_part := greatest(least(v_grants[i].amount, 999999999.999999 - b.balance), 0);  -- all that a balance can hold
            v_grants[i].amount := v_part;
            CONTINUE WHEN v_part = 0;
            b.seq := b.seq + 1;
            b.balance := b.balance + v_part;
            v_paid := least(r.overdrawn, v_part);
            r.overdrawn := r.overdrawn - v_paid;
            v_grants[i].remaining := v_part - v_paid;
            v_grants[i].seq := b.seq;
            v_grants[i].created_at := v_at;
            r.expiries := array_append(r.expiries, ROW(v_grants[i].entry_id, -v_part, v_at)::ledger_grant_expiry);
            IF v_paid > 0 THEN
                r.drawn := array_append(
                    r.drawn, ROW(v_grants[i].entry_id, b.seq, b.seq, v_paid, v_paid, v_paid)::ledger_grant_draw);
            END IF;
            CONTINUE;
        END IF;
        IF e.kind = 1 THEN
            v_grants[i].ran_out_seq := b.seq;
            IF v_grants[i].remaining > 0 THEN
                v_kept := v_kept + v_grants[i].remaining;
                v_top := v_top + 1;
                v_stack[v_top] := i;
            END IF;
        END IF;
        WHILE v_kept > b.reserved AND v_top > 0 LOOP
            i := v_stack[v_top];
            v_part := least(v_grants[i].remaining, v_kept - b.reserved);
            v_kept := v_kept - v_part;
            b.seq := b.seq + 1;
            b.balance := b.balance - v_part;
            v_grants[i].remaining := v_grants[i].remaining - v_part;
            v_grants[i].expired := v_grants[i].expired + v_part;
            v_grants[i].expired_at := v_at;
            IF v_grants[i].remaining = 0 THEN
                v_top := v_top - 1;
            END IF;
            r.expiries := array_append(r.expiries, ROW(v_grants[i].entry_id, v_part, v_at)::ledger_grant_expiry);
        END LOOP;
    END LOOP;
    r.grants := v_grants;
    RETURN r;
END $$;

-- How many of these rows, in their order, end before a place.
CREATE FUNCTION ledger_rows_before(p_rows ledger_grant_draw[], p_seq bigint) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_low integer := 0;
    v_high integer := cardinality(p_rows);
    v_middle integer;
BEGIN
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high + 1) / 2;
        IF p_rows[v_middle].last_seq < p_seq THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle - 1;
        END IF;
    END LOOP;
    RETURN v_low;
END $$;

-- What an entry that takes something drew on, in this order: from the rows of this burn-down, or from those that are
-- written since before.
CREATE FUNCTION ledger_rows_of_taking(
    p_user_id bigint, p_taking ledger_grant_move, p_from bigint, p_skips boolean, p_rows ledger_grant_draw[]
) RETURNS ledger_grant_draw[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_found ledger_grant_draw[] := '{}';
    i integer;
BEGIN
    IF p_taking.seq > p_from THEN
        i := 1 + ledger_rows_before(p_rows, p_taking.seq);
        WHILE p_rows[i].first_seq <= p_taking.seq LOOP
            v_found := array_append(v_found, p_rows[i]);
            i := i + 1;
        END LOOP;
        RETURN v_found;
    END IF;
    IF p_skips THEN
        RETURN ARRAY[ROW(
            0, p_taking.seq, p_taking.seq, -p_taking.amount, -p_taking.amount, -p_taking.amount)::ledger_grant_draw];
    END IF;
    RETURN ARRAY(
        SELECT ROW(grant_id, first_seq, last_seq, first_credits, last_credits, credits)::ledger_grant_draw
        FROM ledger_drawn_at(p_user_id, p_taking.seq) ORDER BY id);
END $$;

-- The entries that took what an entry restores, the latest first, and other reversals between them.
CREATE FUNCTION ledger_takings(m ledger_grant_move) RETURNS ledger_grant_move[] LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN m.reversed_amount > 0 THEN ARRAY(
        SELECT ROW(seq, 0, NULL, amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::ledger_grant_move
        FROM ledger_entry WHERE reverses_id = m.reverses_id AND seq < m.seq ORDER BY seq DESC)
    ELSE ARRAY[ROW(m.reversed_seq, 0, NULL, m.reversed_amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
        ::ledger_grant_move] END
$$;

-- How much of an entry was taken and not given back before a move.
CREATE FUNCTION ledger_level_of_reversed(m ledger_grant_move) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT greatest(-m.reversed_amount, 0) - coalesce(sum(amount), 0)
    FROM ledger_entry WHERE reverses_id = m.reverses_id AND seq < m.seq
$$;

-- What a credit changes, besides the `p_paid` of it that pay an overdraft: it opens a grant, or goes back to the grants
-- from which it was taken.
--
-- What was taken and not restored is a stack: each debit put its shares on top, and a credit takes from the top, first
-- for what it paid of an overdraft. `p_level` is the height of the stack, and what this entry takes for grants is
-- between v_low and v_until. What no grant paid is on top of a debit's shares, and opens a grant.
CREATE FUNCTION ledger_changes_by_credit(
    p_user_id bigint, m ledger_grant_move, p_paid numeric, p_level numeric, p_from bigint, p_skips boolean,
    p_rows ledger_grant_draw[]
) RETURNS ledger_grant_change[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_until numeric := p_level - p_paid;
    v_low numeric := p_level - m.amount;
    v_bottom numeric := p_level;
    v_need numeric := m.amount - p_paid;
    v_done numeric;
    v_part numeric;
    v_entries bigint[] := '{}';
    v_credits numeric[] := '{}';
    v_row ledger_grant_draw;
    t ledger_grant_move;
    i integer;
BEGIN
    IF m.reverses_id IS NULL THEN
        RETURN ARRAY[ROW(NULL, m.id, v_need, NULL)::ledger_grant_change];
    END IF;
    FOREACH t IN ARRAY ledger_takings(m) LOOP
        EXIT WHEN v_need = 0;
        v_bottom := CASE WHEN m.reversed_amount < 0 THEN 0 ELSE v_bottom + t.amount END;
        CONTINUE WHEN t.amount > 0;
        v_done := v_bottom;
        FOREACH v_row IN ARRAY array_append(
            ledger_rows_of_taking(p_user_id, t, p_from, p_skips, p_rows), NULL::ledger_grant_draw)
        LOOP
            v_part := CASE t.seq WHEN v_row.first_seq THEN v_row.first_credits
                WHEN v_row.last_seq THEN v_row.last_credits
                ELSE -t.amount - CASE WHEN v_row.entry_id IS NULL THEN v_done - v_bottom ELSE 0 END END;
            v_done := v_done + v_part;
            v_part := least(v_done, v_until) - greatest(v_done - v_part, v_low);
            CONTINUE WHEN v_part <= 0;
            v_need := v_need - v_part;
            -- One change for each grant: several debits may have drawn on it.
            i := coalesce(array_position(v_entries, v_row.entry_id), cardinality(v_entries) + 1);
            v_entries[i] := v_row.entry_id;
            v_credits[i] := coalesce(v_credits[i], 0) + v_part;
        END LOOP;
        v_until := least(v_until, v_bottom);
    END LOOP;
    IF v_need <> 0 THEN
        RAISE EXCEPTION 'entry % of customer % gives back % credits that were taken by no debit', m.seq, p_user_id,
            v_need USING ERRCODE = 'data_corrupted';
    END IF;
    RETURN ARRAY(
        SELECT ROW(NULL, coalesce(entry_id, m.id), credits, CASE WHEN entry_id IS NULL THEN credits END)
            ::ledger_grant_change
        FROM unnest(v_entries, v_credits) WITH ORDINALITY AS part(entry_id, credits, place) ORDER BY place);
END $$;

-- What a credit writes of that: what it paid of an overdraft is used of its own grant, what it restores is negative.
CREATE FUNCTION ledger_rows_of_credit(
    m ledger_grant_move, p_paid numeric, p_changes ledger_grant_change[]
) RETURNS ledger_grant_draw[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(
        SELECT ROW(entry_id, m.seq, m.seq, drawn, drawn, drawn)::ledger_grant_draw
        FROM (
            SELECT place, entry_id, CASE WHEN m.reverses_id IS NULL THEN p_paid WHEN amount IS NULL THEN -credits END
            FROM unnest(p_changes) WITH ORDINALITY AS change(at, entry_id, credits, amount, place)
        ) each(place, entry_id, drawn) WHERE drawn <> 0 ORDER BY place)
$$;

-- The rows of burn-down that an entry has a part in.
CREATE FUNCTION ledger_drawn_at(p_user_id bigint, p_seq bigint) RETURNS SETOF ledger_grantdraw
LANGUAGE sql STABLE AS $$
    SELECT * FROM ledger_grantdraw WHERE user_id = p_user_id AND last_seq = p_seq
    UNION ALL
    SELECT * FROM ledger_grantdraw
    WHERE user_id = p_user_id AND first_seq <= p_seq AND last_seq = (
        SELECT min(last_seq) FROM ledger_grantdraw WHERE user_id = p_user_id AND last_seq > p_seq)
$$;

-- The first place in a run of debits (p_first to p_last) by which they have drawn `p_credits`. `p_before`: the balance
-- before the run.
CREATE FUNCTION ledger_place_of_draw(
    p_user_id bigint, p_first bigint, p_last bigint, p_before numeric, p_credits numeric
) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_low bigint := p_first;
    v_high bigint := p_last;
    v_middle bigint;
BEGIN
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high) / 2;
        IF p_before - ledger_balance_at(p_user_id, v_middle) >= p_credits THEN
            v_high := v_middle;
        ELSE
            v_low := v_middle + 1;
        END IF;
    END LOOP;
    RETURN v_low;
END $$;

-- How many of rising values are at most `p_value`: as width_bucket(), which copies the array first.
CREATE FUNCTION ledger_places_to(p_values bigint[], p_value bigint) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_low integer := 0;
    v_high integer := cardinality(p_values);
    v_middle integer;
BEGIN
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high + 1) / 2;
        IF p_values[v_middle] <= p_value THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle - 1;
        END IF;
    END LOOP;
    RETURN v_low;
END $$;

-- The next moves after a place, in their order: at most `p_most` of them (NULL: all).
CREATE FUNCTION ledger_grant_moves(p_user_id bigint, p_from bigint, p_most bigint) RETURNS ledger_grant_move[]
LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(ROW(
        e.seq, 1, e.id, e.amount, e.balance_after - e.amount, e.reason, e.reverses_id, o.seq, o.amount, found.grant_id,
        e.created_at)::ledger_grant_move ORDER BY e.seq), '{}')
    FROM (
        SELECT seq, grant_id FROM (
            (SELECT seq, NULL::bigint AS grant_id FROM ledger_entry
             WHERE user_id = p_user_id AND type = 'credit' AND seq > p_from ORDER BY seq LIMIT p_most)
            UNION ALL
            (SELECT seq, NULL FROM ledger_entry
             WHERE user_id = p_user_id AND type = 'adjustment' AND seq > p_from ORDER BY seq LIMIT p_most)
            UNION ALL
            -- What a settlement that left a part of the past for later has written of what expired since.
            (SELECT last_seq, grant_id FROM ledger_grantdraw
             WHERE user_id = p_user_id AND last_seq > p_from ORDER BY last_seq LIMIT p_most)
        ) all_kinds ORDER BY seq LIMIT p_most
    ) found
    JOIN ledger_entry e ON e.user_id = p_user_id AND e.seq = found.seq
    LEFT JOIN ledger_entry o ON o.id = e.reverses_id
$$;

-- The grants that moves after `p_from` may concern, in the order in which they are spent.
--
-- Of those that stand since before, only as many as debits of `p_need` credits can reach, those whose time has come by
-- `p_now`, and those that refunds go back to. Entries without a row open a grant with the usual terms; a refund does
-- only for what no grant had paid. With `p_skips`, grant 0 stands for all that stand since before.
CREATE FUNCTION ledger_grants_concerned(
    p_user_id bigint, p_from bigint, p_moves ledger_grant_move[], p_need numeric, p_now timestamptz, p_skips boolean
) RETURNS ledger_grant_state[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_before bigint[] := '{}';
    v_grants ledger_grant_state[];
    v_within numeric;
    v_most integer;
BEGIN
    IF NOT p_skips THEN
        v_within := 0;
        FOREACH v_most IN ARRAY '{64, 4096, NULL}'::integer[] LOOP
            EXIT WHEN v_within >= p_need;
            SELECT array_agg(entry_id), coalesce(sum(remaining), 0) INTO v_before, v_within FROM (
                SELECT entry_id, remaining FROM ledger_grant
                WHERE user_id = p_user_id AND remaining > 0 AND seq <= p_from AND NOT has_run_out
                ORDER BY priority, expires_at, category DESC, effective_at, entry_id
                LIMIT v_most
            ) reached;
            EXIT WHEN coalesce(cardinality(v_before), 0) < v_most;
        END LOOP;
        v_before := v_before || ARRAY(
            SELECT entry_id FROM ledger_grant
            WHERE user_id = p_user_id AND remaining > 0 AND expires_at <= coalesce(p_now, clock_timestamp())
                AND seq <= p_from);
        IF EXISTS (SELECT FROM unnest(p_moves) WHERE reverses_id IS NOT NULL) THEN
            v_before := v_before || ARRAY(
                SELECT d.grant_id
                FROM unnest(p_moves) m
                CROSS JOIN LATERAL (
                    SELECT m.reversed_seq AS seq WHERE m.reversed_amount < 0
                    UNION ALL
                    SELECT t.seq FROM ledger_entry t
                    WHERE m.reversed_amount > 0 AND t.reverses_id = m.reverses_id AND t.amount < 0 AND t.seq < m.seq
                ) t
                CROSS JOIN LATERAL ledger_drawn_at(p_user_id, t.seq) d
                WHERE m.amount > 0 AND m.reverses_id IS NOT NULL AND t.seq <= p_from
                UNION ALL
                SELECT m.reverses_id FROM unnest(p_moves) m
                WHERE m.amount < 0 AND m.reversed_amount > 0 AND m.reversed_seq <= p_from);
        END IF;
    END IF;
    SELECT coalesce(array_agg(
        g ORDER BY (g).priority, (g).expires_at, (g).category DESC, (g).effective_at, (g).entry_id), '{}')
    INTO v_grants FROM (
        SELECT ROW(entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at,
                   ran_out_seq, expired_at, created_at)::ledger_grant_state AS g
        FROM ledger_grant WHERE entry_id = ANY (v_before) AND user_id = p_user_id AND seq <= p_from
        UNION ALL
        SELECT CASE WHEN g.entry_id IS NOT NULL THEN
            ROW(g.entry_id, g.seq, g.amount, 0, g.expired, g.category, g.priority, g.effective_at, g.expires_at,
                g.ran_out_seq, g.expired_at, g.created_at)::ledger_grant_state
        ELSE
            ROW(m.id, m.seq, CASE WHEN m.reverses_id IS NULL THEN m.amount ELSE 0 END, 0, 0,
                CASE WHEN m.reason IN ('grant', 'goodwill') THEN 'promotional' ELSE 'paid' END,
                50, m.created_at, NULL, NULL, NULL, m.created_at)::ledger_grant_state
        END
        FROM unnest(p_moves) m LEFT JOIN ledger_grant g ON g.entry_id = m.id
        WHERE m.amount > 0
        UNION ALL
        SELECT ROW(0, 0, 0, 0, 0, 'paid', 50, '-infinity', NULL, NULL, NULL, NULL)::ledger_grant_state WHERE p_skips
    ) found;
    RETURN v_grants;
END $$;

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: what it records is never altered or removed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

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

-- Only what thirty newer anchors have followed may go.
CREATE FUNCTION ledger_refuse_to_forget_anchors() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_newest bigint;
BEGIN
    IF TG_TABLE_NAME = 'ledger_anchor' THEN
        SELECT max(id) INTO v_newest FROM gone;
    ELSE
        SELECT max(anchor_id) INTO v_newest FROM gone;
    END IF;
    IF v_newest >= coalesce(ledger_oldest_anchor(), 0) THEN
        RAISE EXCEPTION 'DELETE on % is refused: what it records is never altered or removed', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

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

-- Bring what is taken back of a payment's credits in line with what the provider took back of its money: refunds, and
-- disputes that are not won. Refunds of a part take back that part of the credits; for a dispute that was won they are
-- restored.
--   posted        an entry was made; it reverses the purchase
--   nothing       there is nothing to do (any more)
--   insufficient  the customer has spent the credits: what could not be taken stands in the payment's `credits_owed`,
--                 and is taken with whatever comes in
--   unsettled     first `ledger_settle_grants` has to be called until it is done, in transactions of its own
--   not_found     no such payment
-- Frozen balances are no exception: what the bank took back was never the customer's. A balance is never pushed
-- below its overdraft limit. Repetition does nothing, and of several calls at once each finds what the others did.
--
-- What is taken back is drawn from the purchase's own grant first, then from others as any debit; what a won dispute
-- gives back goes to the grants that were drawn on, the last first. What expires by that is settled here too.
-- Locks the balance, and nothing else; the payment and its disputes are read under that lock. To be called before or
-- after other work of a transaction that holds the same balance.
CREATE FUNCTION ledger_settle_reversals(p_payment_id bigint) RETURNS ledger_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_user_id bigint;
    v_locked ledger_balance;
    v_bought ledger_entry;
    v_amount bigint;
    v_refunded bigint;
    v_disputed bigint;
    v_reversed numeric;
    v_reversals bigint;
    v_due numeric;     -- signed credits: what is to be done in all, less than 0 to take
    v_change numeric;  -- what of it is done now
    v_key text;
    r ledger_outcome;
BEGIN
    SELECT user_id INTO v_user_id FROM ledger_payment WHERE id = p_payment_id;
    IF NOT FOUND THEN
        r.outcome := 'not_found';
        RETURN r;
    END IF;
    v_locked := ledger_lock_balance(v_user_id);
    -- Read only now: whatever was noted before the balance was ours counts, and nobody decides from less.
    SELECT p.amount_minor, p.refunded_minor INTO v_amount, v_refunded FROM ledger_payment p WHERE p.id = p_payment_id;
    SELECT e.* INTO v_bought FROM ledger_entry e JOIN ledger_payment p ON p.entry_id = e.id
    WHERE p.id = p_payment_id AND e.user_id = v_user_id AND e.type = 'credit' AND e.operation = 'payment'
        AND e.idempotency_key = p_payment_id::text;
    r.outcome := 'nothing';
    IF v_bought.id IS NULL THEN
        RETURN r;
    END IF;
    SELECT coalesce(sum(amount_minor), 0) INTO v_disputed
    FROM ledger_paymentdispute WHERE payment_id = p_payment_id AND status <> 'won';
    SELECT -coalesce(sum(amount), 0), count(*) INTO v_reversed, v_reversals
    FROM ledger_entry WHERE reverses_id = v_bought.id;

    v_due := v_reversed - round(v_bought.amount * least(v_amount, v_refunded + v_disputed) / v_amount, 6);
    v_change := v_due;
    IF v_change < 0 THEN
        v_change := -least(-v_change, v_locked.balance - v_locked.reserved + v_locked.overdraft_limit);
        r.outcome := 'insufficient';
    END IF;
    r.available := v_locked.balance - v_locked.reserved;
    IF v_change <> 0 AND ledger_has_grants_that_end(v_user_id) AND ledger_is_far_behind(v_user_id) THEN
        r.outcome := 'unsettled';  -- what is left of the purchase's own grant is not known yet
        v_change := 0;
    END IF;
    UPDATE ledger_payment SET credits_owed = greatest(v_change - v_due, 0)
    WHERE id = p_payment_id AND credits_owed <> greatest(v_change - v_due, 0);
    IF v_change = 0 THEN
        RETURN r;
    END IF;
    IF v_locked.frozen_at IS NOT NULL THEN  -- within this transaction and under its lock: nobody sees it thawed
        UPDATE ledger_balance SET frozen_at = NULL WHERE user_id = v_user_id;
    END IF;
    v_key := v_bought.id || ':' || v_reversals;
    r := ledger_move(
        v_user_id, 'adjustment', 'chargeback', v_change,
        CASE WHEN v_change > 0 THEN 'Payment restored' WHEN v_disputed > 0 THEN 'Payment disputed'
             ELSE 'Payment refunded' END,
        v_bought.reference, jsonb_build_object('payment_id', p_payment_id), 'payment_reversal', v_key,
        sha256(convert_to(v_key, 'UTF8')), v_bought.id);
    IF v_locked.frozen_at IS NOT NULL THEN
        UPDATE ledger_balance SET frozen_at = v_locked.frozen_at WHERE user_id = v_user_id;
    END IF;
    IF r.outcome = 'posted' THEN
        PERFORM ledger_settle_reversing_entry(v_user_id);
    END IF;
    RETURN r;
END $$;

-- Take what a customer owes, the oldest purchase first, as far as it is there. The caller has locked the balance row,
-- and has written all that belongs to what came in. An index has the few payments that are looked at.
CREATE FUNCTION ledger_collect_owed_credits(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_payment_id bigint;
BEGIN
    FOR v_payment_id IN
        SELECT id FROM ledger_payment WHERE user_id = p_user_id AND credits_owed > 0 ORDER BY id
    LOOP
        PERFORM ledger_settle_reversals(v_payment_id);
    END LOOP;
END $$;

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

-- The grants of a customer as they stand at `p_now`, once the history is settled; `skips`: without a part of the past,
-- whose turn comes with later calls.
--
-- A history that is longer than what is settled at once is settled so far, and what has expired is settled without the
-- rest of it, if that may be skipped. `balance_notes_crossing` lets a call come every 1024 entries, so that it never
-- grows longer.
CREATE FUNCTION ledger_settle_history(
    p_user_id bigint, p_now timestamptz, p_seq bigint, OUT standing ledger_grants_standing, OUT skips boolean
) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        skips := false;
        standing := ledger_burn_down(p_user_id, p_now, ledger_moves_at_once());
        EXIT WHEN standing.seq = p_seq;
        IF NOT ledger_may_skip(p_user_id) THEN
            PERFORM ledger_refuse_long_history(p_user_id);
        END IF;
        PERFORM ledger_note_grants(p_user_id, standing);
        skips := ledger_may_skip(p_user_id);
        IF skips THEN
            standing := ledger_burn_down(p_user_id, p_now, NULL, true);
            EXIT;
        END IF;
    END LOOP;
    standing := ledger_grants_at(p_user_id, p_now, standing);
    IF skips THEN
        standing.drawn := '{}';
        standing.seq := NULL;
        standing.grants := ARRAY(  -- what expired is counted in its turn, too
            SELECT ROW(
                s.entry_id, s.seq, s.amount, s.remaining, coalesce(g.expired, 0), s.category, s.priority,
                s.effective_at, s.expires_at, s.ran_out_seq, s.expired_at, s.created_at)::ledger_grant_state
            FROM unnest(standing.grants) s LEFT JOIN ledger_grant g ON g.entry_id = s.entry_id
            WHERE s.expires_at IS NOT NULL OR s.priority <> 50 OR s.entry_id < 0);
    END IF;
END $$;

-- The entry that says that a grant has expired.
CREATE FUNCTION ledger_expiry_entry(p_grant_id bigint, p_seq bigint) RETURNS ledger_entry LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    e ledger_entry;
BEGIN
    e.type := 'debit';
    e.reason := 'expiry';
    e.description := 'Credits expired';
    e.metadata := jsonb_build_object('grant_id', p_grant_id);
    e.operation := 'expire_grant';
    e.idempotency_key := format('%s:%s', p_grant_id, p_seq);
    RETURN e;
END $$;

-- The entry of what a period brings, or (`p_rolls_over`) of what of it stays longer.
CREATE FUNCTION ledger_period_entry(d ledger_due_period, p_rolls_over boolean) RETURNS ledger_entry
LANGUAGE plpgsql STABLE AS $$
DECLARE
    e ledger_entry;
    v_plan accounts_plan;
BEGIN
    SELECT * INTO v_plan FROM accounts_plan WHERE id = d.plan_id;
    e.type := 'credit';
    e.reason := 'grant';
    e.description := format(
        '%s, %s to %s%s', v_plan.name, to_char(d.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
        to_char(d.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), CASE WHEN p_rolls_over THEN ': rolls over' ELSE '' END);
    e.metadata := jsonb_build_object(
        'subscription_id', d.subscription_id, 'plan', v_plan.code,
        'period_start', to_char(d.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
    e.operation := 'subscription';
    e.idempotency_key := format(
        '%s:%s%s', d.subscription_id, e.metadata ->> 'period_start',
        CASE WHEN p_rolls_over THEN ':rolls-over' ELSE '' END);
    RETURN e;
END $$;

-- Write the entries of what has expired and what periods have brought; returns the balance after them and their ids, in
-- the order of the stand-ins of periods' grants. The row of the balance is left to the caller.
CREATE FUNCTION ledger_post_expiries(
    INOUT b ledger_balance, p_expiries ledger_grant_expiry[], p_periods ledger_due_period[], OUT made bigint[],
    OUT drawn ledger_grant_draw[]
) LANGUAGE plpgsql AS $$
DECLARE
    e ledger_entry;
    expiry ledger_grant_expiry;
BEGIN
    made := '{}';
    drawn := '{}';
    FOREACH expiry IN ARRAY p_expiries LOOP
        b.seq := b.seq + 1;
        b.balance := b.balance - expiry.credits;
        b.granted_total := b.granted_total - expiry.credits;
        b.updated_at := greatest(b.updated_at, expiry.expired_at);
        IF expiry.credits > 0 THEN
            IF expiry.entry_id < 0 THEN
                expiry.entry_id := made[-expiry.entry_id];
            END IF;
            e := ledger_expiry_entry(expiry.entry_id, b.seq);
        ELSE
            e := ledger_period_entry(p_periods[(1 - expiry.entry_id) / 2], expiry.entry_id % 2 = 0);
        END IF;
        e.fingerprint := sha256(convert_to(e.idempotency_key, 'UTF8'));
        b.seal := ledger_seal(
            b.seal, b.user_id, b.seq, e.type, e.reason, -expiry.credits, b.balance, e.description, NULL, e.metadata,
            e.operation, e.idempotency_key, e.fingerprint, NULL, NULL, b.updated_at);
        INSERT INTO ledger_entry (
            user_id, seq, type, reason, amount, balance_after, description, metadata, operation, idempotency_key,
            fingerprint, created_at, seal)
        VALUES (
            b.user_id, b.seq, e.type, e.reason, -expiry.credits, b.balance, e.description, e.metadata, e.operation,
            e.idempotency_key, e.fingerprint, b.updated_at, b.seal)
        RETURNING id INTO e.id;
        IF expiry.credits > 0 THEN
            drawn := array_append(drawn, ROW(
                expiry.entry_id, b.seq, b.seq, expiry.credits, expiry.credits, expiry.credits)::ledger_grant_draw);
        ELSE
            made[-expiry.entry_id] := e.id;
        END IF;
    END LOOP;
END $$;

-- Put the ids of entries that were made in the place of the stand-ins of periods' grants.
CREATE FUNCTION ledger_with_entries(r ledger_grants_standing, p_made bigint[]) RETURNS ledger_grants_standing
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    r.grants := ARRAY(
        SELECT ROW(CASE WHEN entry_id < 0 THEN p_made[-entry_id] ELSE entry_id END, seq, amount, remaining, expired,
                   category, priority, effective_at, expires_at, ran_out_seq, expired_at, created_at)::ledger_grant_state
        FROM unnest(r.grants));
    r.drawn := ARRAY(
        SELECT ROW(CASE WHEN entry_id < 0 THEN p_made[-entry_id] ELSE entry_id END, first_seq, last_seq,
                   first_credits, last_credits, credits)::ledger_grant_draw
        FROM unnest(r.drawn) WITH ORDINALITY
            AS draw(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
        ORDER BY place);
    RETURN r;
END $$;

-- Settle every hold and every grant of the customer that has expired, and begin every period that is due, in the order
-- of their times; returns how many holds there were. The caller has locked the balance row. What a grant loses is one
-- debit and what a period brings one credit or two, made at their own times, though never before the entry before them.
CREATE FUNCTION ledger_settle_expired(p_user_id bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    b ledger_balance;
    v_history record;
    v_posted record;
    v_periods ledger_due_period[] := '{}';
    v_settled integer;
    v_freed numeric;
    v_latest timestamptz;
    r ledger_grants_standing;
BEGIN
    IF ledger_subscription_due_at(p_user_id) <= v_now THEN
        v_periods := ARRAY(SELECT due FROM ledger_periods_due(p_user_id, v_now) AS due);
    END IF;
    SELECT * INTO b FROM ledger_balance WHERE user_id = p_user_id;
    IF cardinality(v_periods) > 0 OR ledger_has_grants_that_end(p_user_id) OR b.seq >= 1024 + coalesce(
        (SELECT seq FROM ledger_grantprogress WHERE user_id = p_user_id), 0)
    THEN
        v_history := ledger_settle_history(p_user_id, v_now, b.seq);
        r := v_history.standing;
    END IF;
    WITH gone AS (
        UPDATE ledger_hold SET status = 'expired', settled_at = expires_at
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= v_now
        RETURNING credits - captured AS freed, expires_at
    )
    SELECT count(*), coalesce(sum(freed), 0), max(expires_at) INTO v_settled, v_freed, v_latest FROM gone;

    IF r.grants IS NOT NULL THEN
        v_posted := ledger_post_expiries(b, r.expiries, v_periods);
        b := v_posted.b;
        r.drawn := r.drawn || v_posted.drawn;
        IF cardinality(r.expiries) > 0 THEN
            r.seq := CASE WHEN NOT v_history.skips THEN b.seq END;
        END IF;
        PERFORM ledger_note_grants(p_user_id, ledger_with_entries(r, v_posted.made));
        IF cardinality(v_periods) > 0 THEN
            PERFORM ledger_note_periods(p_user_id, v_periods, v_posted.made);
        END IF;
    END IF;

    UPDATE ledger_balance SET
        balance = b.balance, granted_total = b.granted_total, seq = b.seq, seal = b.seal,
        reserved = reserved - v_freed,
        -- A grant that keeps something for holds stays due: the next call looks whether it still may.
        next_expiry_at = least(
            (SELECT min(h.expires_at) FROM ledger_hold h WHERE h.user_id = p_user_id AND h.status = 'open'),
            (SELECT min(g.expires_at) FROM ledger_grant g
             WHERE g.user_id = p_user_id AND g.expires_at IS NOT NULL AND g.remaining > 0),
            ledger_subscription_due_at(p_user_id),
            '9999-12-31 00:00:00+00'),
        updated_at = greatest(b.updated_at, v_latest)
    WHERE user_id = p_user_id;
    RETURN v_settled;
END $$;

-- Settle what is due, if anything is, and take what is owed of what a hold may have given back. The caller
-- has locked the balance row.
CREATE FUNCTION ledger_settle_due(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp();
    IF FOUND THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    PERFORM ledger_collect_owed_credits(p_user_id);
END $$;

-- Settle an entry that reverses another: it may have given credits back to a grant whose time has come, or
-- to a customer who owes some. The caller has locked the balance row.
CREATE FUNCTION ledger_settle_reversing_entry(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ledger_has_grants_that_end(p_user_id) THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    PERFORM ledger_collect_owed_credits(p_user_id);
END $$;

-- What a customer's grants have lost by `p_now` since anything was settled, less what periods that began meanwhile have
-- brought: credits, and when the last of that happened. What is owed, and will be taken of what has become available
-- by that or by holds that have expired, counts as lost: nobody can spend it.
-- All NULL: nothing. For readers, whether or not a job has run.
CREATE FUNCTION ledger_expired_credits(p_user_id bigint, p_now timestamptz) RETURNS ledger_grant_expiry
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_standing ledger_grants_standing;
    v_owed numeric;
    v_there numeric;
    r ledger_grant_expiry;
BEGIN
    IF ledger_has_grants_that_end(p_user_id) OR ledger_subscription_due_at(p_user_id) <= p_now THEN
        v_standing := ledger_grants_at(
            p_user_id, p_now, ledger_burn_down(p_user_id, p_now, NULL, ledger_may_skip(p_user_id)));
        SELECT NULL, sum(expiry.credits), max(expiry.expired_at) INTO r FROM unnest(v_standing.expiries) AS expiry;
    END IF;
    v_owed := (SELECT sum(credits_owed) FROM ledger_payment WHERE user_id = p_user_id AND credits_owed > 0);
    IF v_owed > 0 AND NOT (ledger_has_grants_that_end(p_user_id) AND ledger_is_far_behind(p_user_id)) THEN
        SELECT b.balance - coalesce(r.credits, 0) + b.overdraft_limit - b.reserved + coalesce((
            SELECT sum(h.credits - h.captured) FROM ledger_hold h
            WHERE h.user_id = p_user_id AND h.status = 'open' AND h.expires_at <= p_now), 0)
        INTO v_there FROM ledger_balance b WHERE b.user_id = p_user_id;
        IF v_there > 0 THEN
            r.credits := coalesce(r.credits, 0) + least(v_owed, v_there);
        END IF;
    END IF;
    RETURN r;
END $$;

-- The time so many months later, in UTC: on the month's last day where the month is shorter.
CREATE FUNCTION ledger_months_after(p_anchor timestamptz, p_months integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT (p_anchor AT TIME ZONE 'UTC' + make_interval(months => p_months)) AT TIME ZONE 'UTC'
$$;

CREATE FUNCTION ledger_months_of(p_interval text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_interval WHEN 'yearly' THEN 12 ELSE 1 END
$$;

-- `p_credits` for `p_part` of `p_whole`, rounded to six places, half up.
CREATE FUNCTION ledger_prorated(p_credits numeric, p_part interval, p_whole interval) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT round(
        div(2000000 * p_credits * extract(epoch FROM p_part) + extract(epoch FROM p_whole),
            2 * extract(epoch FROM p_whole)) / 1000000, 6)
$$;

-- When the customer's subscription takes its next step: the running period begins, if that is not written yet, or it
-- ends. NULL: never.
CREATE FUNCTION ledger_subscription_due_at(p_user_id bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN s.status = 'paused' THEN s.ends_at
        WHEN EXISTS (
            SELECT FROM ledger_subscriptionperiod p
            WHERE p.user_id = s.user_id AND p.subscription_id = s.id AND p.starts_at = s.current_period_start
        ) THEN s.current_period_end
        ELSE s.current_period_start
    END
    FROM accounts_subscription s
    WHERE s.user_id = p_user_id AND s.status IN ('active', 'paused') AND s.anchor_at IS NOT NULL
$$;

-- Write down the periods that have begun with the entries of their grants (`p_made`, two places each), and the last
-- step on the subscription. The caller has locked the balance row.
CREATE FUNCTION ledger_note_periods(p_user_id bigint, p_periods ledger_due_period[], p_made bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    d ledger_due_period := p_periods[cardinality(p_periods)];
BEGIN
    INSERT INTO ledger_subscriptionperiod (
        user_id, subscription_id, plan_id, starts_at, ends_at, credits, entry_id, kept_entry_id)
    SELECT p_user_id, subscription_id, plan_id, starts_at, ends_at,
        coalesce((SELECT sum(amount) FROM ledger_entry WHERE id IN (p_made[2 * place - 1], p_made[2 * place])), 0),
        p_made[2 * place - 1], p_made[2 * place]
    FROM unnest(p_periods) WITH ORDINALITY AS due(
        subscription_id, status, plan_id, billing_interval, credits_per_period, rollover_cap, months_elapsed,
        starts_at, ends_at, next_grant_at, begins, credits, expires_at, kept, kept_until, place)
    WHERE begins ORDER BY place;
    UPDATE accounts_subscription SET
        status = d.status, plan_id = d.plan_id, billing_interval = d.billing_interval,
        credits_per_period = d.credits_per_period, rollover_cap = d.rollover_cap,
        months_elapsed = d.months_elapsed, current_period_start = d.starts_at, current_period_end = d.ends_at,
        next_grant_at = d.next_grant_at,
        -- A change that waited for the next period is made with it.
        pending_plan_id = CASE WHEN current_period_start = d.starts_at THEN pending_plan_id END,
        pending_interval = CASE WHEN current_period_start = d.starts_at THEN pending_interval ELSE '' END,
        pending_credits = CASE WHEN current_period_start = d.starts_at THEN pending_credits END,
        pending_rollover_cap = CASE WHEN current_period_start = d.starts_at THEN pending_rollover_cap END
    WHERE id = d.subscription_id;
END $$;

-- Bring a customer's subscription to where it stands now, and let the balance expect its next step; the balance row is
-- locked from here on. Returns the time.
CREATE FUNCTION ledger_renew(p_user_id bigint) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM ledger_lock_balance(p_user_id);
    PERFORM ledger_settle_expired(p_user_id);
    PERFORM ledger_collect_owed_credits(p_user_id);
    RETURN clock_timestamp();
END $$;

-- Note which armed thresholds a move has fallen below, and watch the next lower one. Every 1024 entries let the next
-- call look whether something expires: it settles grants on that occasion, so that no history grows longer than that.
CREATE FUNCTION ledger_note_crossing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.balance - NEW.reserved < NEW.watch_below THEN
        UPDATE ledger_threshold SET crossed_at = clock_timestamp()
        WHERE user_id = NEW.user_id AND crossed_at IS NULL AND below > NEW.balance - NEW.reserved;
        NEW.watch_below := (
            SELECT max(below) FROM ledger_threshold WHERE user_id = NEW.user_id AND crossed_at IS NULL);
    END IF;
    IF NEW.seq >> 10 <> OLD.seq >> 10 THEN
        NEW.next_expiry_at := least(NEW.next_expiry_at, clock_timestamp());
    END IF;
    RETURN NEW;
END $$;

-- Watch a customer's available credits against `p_below` (more than 0 credits), under a name that each customer has
-- once; NULL ends it. A new amount begins anew: crossed at once if available is below it, else armed. The same amount
-- again changes nothing. Returns since when available is below it, NULL when it is not.
CREATE FUNCTION ledger_watch(p_user_id bigint, p_name text, p_below numeric) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    v_crossed_at timestamptz;
BEGIN
    PERFORM ledger_refuse_inexact(p_below);
    IF p_below IS NULL THEN
        DELETE FROM ledger_threshold WHERE user_id = p_user_id AND name = p_name;
    ELSE
        INSERT INTO ledger_threshold AS t (user_id, name, below, crossed_at)
        VALUES (
            p_user_id, p_name, p_below,
            CASE WHEN v_balance.balance - v_balance.reserved < p_below THEN clock_timestamp() END)
        ON CONFLICT (user_id, name) DO UPDATE SET below = excluded.below, crossed_at = excluded.crossed_at
        WHERE t.below <> excluded.below;
        v_crossed_at := (SELECT crossed_at FROM ledger_threshold WHERE user_id = p_user_id AND name = p_name);
    END IF;
    UPDATE ledger_balance SET watch_below = (
        SELECT max(below) FROM ledger_threshold WHERE user_id = p_user_id AND crossed_at IS NULL)
    WHERE user_id = p_user_id;
    RETURN v_crossed_at;
END $$;

-- Arm again the thresholds that available credits are back at or above; returns them as they were, each one from one
-- call only.
CREATE FUNCTION ledger_rearm(p_user_id bigint) RETURNS TABLE (name text, below numeric, crossed_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
BEGIN
    RETURN QUERY
        UPDATE ledger_threshold t SET crossed_at = NULL FROM ledger_threshold was
        WHERE t.user_id = p_user_id AND t.crossed_at IS NOT NULL AND was.id = t.id
            AND t.below <= v_balance.balance - v_balance.reserved
        RETURNING was.name::text, was.below, was.crossed_at;
    IF FOUND THEN
        UPDATE ledger_balance SET watch_below = (
            SELECT max(t.below) FROM ledger_threshold t WHERE t.user_id = p_user_id AND t.crossed_at IS NULL)
        WHERE user_id = p_user_id;
    END IF;
END $$;

-- Look at what a customer has, and at one of their thresholds, and lock the balance until the transaction ends. The
-- threshold is armed when available is back at it or above; the customer's others are left to those who watch them.
-- Returns since when available is below it: NULL when it is not, or when there is no such threshold.
CREATE FUNCTION ledger_look_at_threshold(
    p_user_id bigint, p_name text, OUT balance numeric, OUT available numeric, OUT frozen_at timestamptz,
    OUT crossed_at timestamptz
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
BEGIN
    balance := v_balance.balance;
    available := v_balance.balance - v_balance.reserved;
    frozen_at := v_balance.frozen_at;
    UPDATE ledger_threshold t SET crossed_at = NULL
    WHERE t.user_id = p_user_id AND t.name = p_name AND t.crossed_at IS NOT NULL
        AND t.below <= v_balance.balance - v_balance.reserved;
    IF FOUND THEN
        UPDATE ledger_balance b SET watch_below = (
            SELECT max(t.below) FROM ledger_threshold t WHERE t.user_id = p_user_id AND t.crossed_at IS NULL)
        WHERE b.user_id = p_user_id;
    END IF;
    crossed_at := (SELECT t.crossed_at FROM ledger_threshold t WHERE t.user_id = p_user_id AND t.name = p_name);
END $$;

CREATE TRIGGER anchor_is_append_only BEFORE UPDATE OR TRUNCATE ON ledger_anchor
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER anchor_stays AFTER DELETE ON ledger_anchor REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_to_forget_anchors();

CREATE TRIGGER anchor_place_is_append_only BEFORE UPDATE OR TRUNCATE ON ledger_anchorplace
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER anchor_place_stays AFTER DELETE ON ledger_anchorplace REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_to_forget_anchors();

-- Auto-reload that is off goes on by its customer's consent alone, given after the one before.
CREATE TRIGGER reload_goes_on_by_consent BEFORE UPDATE ON ledger_autoreload
    FOR EACH ROW
    WHEN ((NEW.enabled AND NOT OLD.enabled AND NEW.consented_at <= OLD.consented_at) OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER reload_stays BEFORE DELETE OR TRUNCATE ON ledger_autoreload
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER reload_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_autoreloadevent
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER balance_changes_only_with_seq BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.seq <= OLD.seq OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_move_without_seq();

CREATE TRIGGER balance_stays BEFORE DELETE OR TRUNCATE ON ledger_balance
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_keeps_its_terms BEFORE UPDATE ON ledger_grant
    FOR EACH ROW
    WHEN ((OLD.entry_id, OLD.user_id, OLD.seq, OLD.amount, OLD.category, OLD.priority, OLD.effective_at, OLD.expires_at)
          IS DISTINCT FROM
          (NEW.entry_id, NEW.user_id, NEW.seq, NEW.amount, NEW.category, NEW.priority, NEW.effective_at, NEW.expires_at)
          OR NEW.expired < OLD.expired)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_stays BEFORE DELETE OR TRUNCATE ON ledger_grant
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_draw_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_grantdraw
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_progress_goes_on BEFORE UPDATE ON ledger_grantprogress
    FOR EACH ROW WHEN (NEW.seq < OLD.seq OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_progress_stays BEFORE DELETE OR TRUNCATE ON ledger_grantprogress
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

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

CREATE TRIGGER operation_key_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_operationkey
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_keeps_its_kind BEFORE UPDATE ON ledger_payment
    FOR EACH ROW WHEN (NEW.kind <> OLD.kind) EXECUTE FUNCTION ledger_refuse_change();

-- What a payment was made for never changes, and what was paid stays paid.
CREATE TRIGGER payment_stays BEFORE DELETE OR TRUNCATE ON ledger_payment
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_stays_what_it_is BEFORE UPDATE ON ledger_payment
    FOR EACH ROW
    WHEN ((NEW.user_id, NEW.credits, NEW.amount_minor, NEW.currency, NEW.provider, NEW.provider_key,
           NEW.idempotency_key)
              IS DISTINCT FROM (OLD.user_id, OLD.credits, OLD.amount_minor, OLD.currency, OLD.provider,
                                OLD.provider_key, OLD.idempotency_key)
          OR NEW.refunded_said_minor < OLD.refunded_said_minor
          OR (OLD.entry_id IS NOT NULL AND (NEW.entry_id, NEW.state) IS DISTINCT FROM (OLD.entry_id, OLD.state)))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_dispute_stays BEFORE DELETE OR TRUNCATE ON ledger_paymentdispute
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_outcome_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_paymentoutcome
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_refund_stays BEFORE DELETE OR TRUNCATE ON ledger_paymentrefund
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_refund_stays_what_it_is BEFORE UPDATE ON ledger_paymentrefund
    FOR EACH ROW
    WHEN ((NEW.payment_id, NEW.provider_refund_id, NEW.amount_minor)
              IS DISTINCT FROM (OLD.payment_id, OLD.provider_refund_id, OLD.amount_minor)
          OR (OLD.has_failed AND NOT NEW.has_failed))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER subscription_change_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_subscriptionchange
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER subscription_period_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_subscriptionperiod
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER terms_change_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_termschange
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER balance_notes_crossing BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.balance - NEW.reserved < NEW.watch_below OR NEW.seq >> 10 <> OLD.seq >> 10)
    EXECUTE FUNCTION ledger_note_crossing();
