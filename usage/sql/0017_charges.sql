-- Charges: what was done is answered though its key or customer has ended; a key's calls a minute bind; a refusal for a
-- key's limit says where the key stands; the caller's metadata stay as they are.

-- What came of a charge; besides usage 0004's outcomes:
--   outcome    rate_limited
--   limits     with reason key_limit: usage_key_standing; with rate_limited: usage_take_call
ALTER TYPE usage_charge_outcome ADD ATTRIBUTE limits jsonb;
ALTER TYPE usage_customer ADD ATTRIBUTE rate_limit_per_minute integer;
ALTER TYPE usage_batch_row ADD ATTRIBUTE limits jsonb;

-- Who is meant by an id, or by the SHA-256 of a key, and what may be spent by that key.
--   original_key_id    the first of the keys that rotations put in each other's place: they spend as one
--   refusal            key_invalid | customer_unknown | customer_inactive, or NULL. The customer of a dead key is named
--                      all the same: what was done for them before has its replay
CREATE OR REPLACE FUNCTION usage_find_customer(p_user_id bigint, p_key_hash bytea) RETURNS usage_customer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    c usage_customer;
    v_is_live boolean := true;
    v_active boolean;
BEGIN
    IF p_key_hash IS NULL THEN
        c.user_id := p_user_id;
    ELSE
        SELECT user_id, id, coalesce(original_id, id), spending_limit, spending_reset_day, rate_limit_per_minute,
            revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
        INTO c.user_id, c.api_key_id, c.original_key_id, c.spending_limit, c.spending_reset_day,
            c.rate_limit_per_minute, v_is_live
        FROM accounts_apikey WHERE key_hash = p_key_hash;
    END IF;
    SELECT is_active INTO v_active FROM accounts_user WHERE id = c.user_id;
    IF v_active IS NOT TRUE OR v_is_live IS NOT TRUE THEN
        c.refusal := CASE WHEN p_key_hash IS NOT NULL THEN 'key_invalid'
            WHEN v_active IS NULL THEN 'customer_unknown' ELSE 'customer_inactive' END;
    END IF;
    RETURN c;
END $$;

-- Take one of the calls that a key may make in this minute: NULL, or {limit, reset_at, reset_seconds} when all are
-- taken. They are counted where the key's own calls to the API are (config/http/rate_windows.py), by the database's
-- clock. The row is held until the transaction ends, before the balance is.
CREATE FUNCTION usage_take_call(p_api_key_id bigint, p_calls_a_minute integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_epoch numeric := extract(epoch FROM clock_timestamp());
    v_minute bigint := floor(v_epoch / 60);
BEGIN
    INSERT INTO config_ratewindow AS w (subject, minute, taken) VALUES ('key:' || p_api_key_id, v_minute, 1)
    ON CONFLICT (subject) DO UPDATE SET
        minute = greatest(w.minute, excluded.minute),
        taken = CASE WHEN w.minute < excluded.minute THEN 0 ELSE w.taken END + 1
    WHERE w.minute < excluded.minute OR w.taken < p_calls_a_minute;
    RETURN CASE WHEN NOT FOUND THEN jsonb_build_object(
        'limit', p_calls_a_minute, 'reset_at', (v_minute + 1) * 60,
        'reset_seconds', ceil((v_minute + 1) * 60 - v_epoch)) END;
END $$;

-- Give back a call that was taken in this transaction, which holds its row.
CREATE FUNCTION usage_return_call(p_api_key_id bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE config_ratewindow SET taken = taken - 1 WHERE subject = 'key:' || p_api_key_id
$$;

-- What an entry keeps: the caller's metadata as they are, and ours beside them. Where the caller has used a name of
-- ours, ours goes under that name with `tollbook_` before it; the API refuses such names from callers.
CREATE FUNCTION usage_metadata_beside(p_metadata jsonb, p_ours jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT p_metadata || jsonb_object_agg(
        CASE WHEN p_metadata ?| ARRAY[key, 'tollbook_' || key] THEN 'tollbook_' || key ELSE key END, value)
    FROM jsonb_each(p_ours)
$$;
CREATE FUNCTION usage_entry_metadata(p_metadata jsonb, p_ours jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_metadata ?| '{charge_id,request_id,hold_id,tollbook_charge_id,tollbook_request_id,tollbook_hold_id}'
        THEN usage_metadata_beside(p_metadata, p_ours) ELSE p_metadata || p_ours END
$$;

-- Log one request that has just been paid for (or was free, or refused) and count it, for the statistics and, where
-- that is being counted, as spent by its key. Whoever has paid holds the customer's balance.
CREATE OR REPLACE FUNCTION usage_log_request(
    p_id bigint, p_user_id bigint, p_api_key_id bigint, p_original_key_id bigint, p_endpoint text, p_path text,
    p_method text, p_status integer, p_units numeric, p_credits numeric, p_price_id bigint, p_entry_id bigint,
    p_latency_ms integer, p_request_id uuid, p_reference text, p_metadata jsonb, p_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_requestlog (
        id, user_id, api_key_id, endpoint, path, method, status, units, credits, price_id, entry_id, latency_ms,
        request_id, reference, metadata, source, occurred_at)
    VALUES (
        p_id, p_user_id, p_api_key_id, p_endpoint, p_path, p_method, p_status, p_units, p_credits, p_price_id,
        p_entry_id, p_latency_ms, p_request_id, p_reference, p_metadata, '', p_at);
    IF p_original_key_id IS NOT NULL AND p_credits > 0 THEN  -- usage_count_key_spending, written out
        UPDATE usage_keyspending SET credits = credits + p_credits,
            next_credits = next_credits
                + CASE WHEN (p_at AT TIME ZONE 'UTC')::date >= next_on THEN p_credits ELSE 0 END,
            counted_on = greatest(counted_on, (p_at AT TIME ZONE 'UTC')::date)
        WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on <= (p_at AT TIME ZONE 'UTC')::date;
    END IF;
    INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
    VALUES (
        p_user_id, (p_at AT TIME ZONE 'UTC')::date, p_endpoint,
        (p_status < 400)::int,
        (p_status >= 400 AND p_status NOT IN (401, 402, 429))::int,
        (p_status IN (401, 402, 429))::int,
        p_credits)
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
        successful = d.successful + excluded.successful,
        failed = d.failed + excluded.failed,
        rejected = d.rejected + excluded.rejected,
        credits = d.credits + excluded.credits;
END $$;

DROP FUNCTION usage_charge;

-- Charge one request as it happens: find the customer, price it, debit, log, count; one call, all or nothing.
-- The customer is named by `p_user_id` or by the SHA-256 of one of their keys. `p_credits` overrides the price.
-- Repeating a call with its key answers `replayed` with the charge made then, whoever may be charged by now; a refusal
-- is not remembered, but one for want of credits is logged as rejected (402). A key's calls a minute are counted when
-- they are charged: neither replays nor refusals nor requests that were themselves rejected take one, nor does what was
-- let in before (`p_is_admitted`: it settles a hold that took its call).
CREATE FUNCTION usage_charge(
    p_user_id bigint, p_key_hash bytea, p_endpoint text, p_method text, p_status integer, p_units numeric,
    p_credits numeric, p_latency_ms integer, p_reference text, p_metadata jsonb, p_idempotency_key text,
    p_fingerprint bytea, p_request_id uuid, p_is_admitted boolean DEFAULT false
) RETURNS usage_charge_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_user_id bigint := p_user_id;
    v_active boolean;
    v_api_key_id bigint;
    v_original_key_id bigint;
    v_spending_limit numeric;
    v_reset_day smallint;
    v_calls_a_minute integer;
    v_is_live boolean;
    v_done_entry_id bigint;
    v_done_fingerprint bytea;
    v_price usage_price;
    v_endpoint text;
    v_credits numeric;
    v_paid numeric;
    v_id bigint;
    v_status integer := p_status;
    v_move ledger_outcome;
    v_limits jsonb;
BEGIN
    IF p_key_hash IS NOT NULL THEN
        SELECT user_id, id, coalesce(original_id, id), spending_limit, spending_reset_day, rate_limit_per_minute,
            revoked_at IS NULL AND (expires_at IS NULL OR expires_at > v_now)
        INTO v_user_id, v_api_key_id, v_original_key_id, v_spending_limit, v_reset_day, v_calls_a_minute, v_is_live
        FROM accounts_apikey WHERE key_hash = p_key_hash;
    END IF;
    SELECT is_active AND v_is_live IS NOT FALSE INTO v_active FROM accounts_user WHERE id = v_user_id;

    -- Calls with the same key follow each other until the transaction ends: whatever they turn out to be, one that costs
    -- and one that does not, the later one finds what the earlier one made.
    PERFORM pg_advisory_xact_lock(hashtextextended(p_idempotency_key, v_user_id));
    SELECT done.entry_id, done.fingerprint INTO v_done_entry_id, v_done_fingerprint FROM (
        SELECT id AS entry_id, fingerprint FROM ledger_entry
        WHERE user_id = v_user_id AND operation = 'charge' AND idempotency_key = p_idempotency_key
        UNION ALL
        SELECT NULL, fingerprint FROM ledger_operationkey
        WHERE user_id = v_user_id AND operation = 'charge' AND idempotency_key = p_idempotency_key
    ) done;
    -- What was done stays done: its replay is answered though the customer may be charged no more.
    IF FOUND AND (v_active OR v_done_fingerprint = p_fingerprint) THEN
        RETURN ROW(
            CASE WHEN v_done_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END,
            NULL, v_user_id, NULL, v_done_entry_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::usage_charge_outcome;
    END IF;
    IF v_active IS NOT TRUE THEN
        RETURN ROW(
            CASE WHEN p_key_hash IS NOT NULL THEN 'key_invalid'
                WHEN v_active IS NULL THEN 'customer_unknown' ELSE 'customer_inactive' END,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::usage_charge_outcome;
    END IF;

    -- Most endpoints are codes: one look-up in the unique index, without a further function.
    SELECT * INTO v_price FROM usage_price
    WHERE endpoint = p_endpoint AND method IN ('', p_method) AND kind = 'code' AND effective_from <= v_now
    ORDER BY method DESC, effective_from DESC LIMIT 1;
    IF NOT FOUND THEN
        v_price := usage_find_price(p_endpoint, p_method, v_now);
    END IF;
    IF v_price.id IS NULL AND p_credits IS NULL THEN
        RETURN ROW(
            'price_unknown', NULL, v_user_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::usage_charge_outcome;
    END IF;
    IF v_calls_a_minute IS NOT NULL THEN
        IF p_is_admitted OR p_status IN (401, 402, 429) THEN
            v_calls_a_minute := NULL;  -- takes no call, and has none to give back
        ELSE
            v_limits := usage_take_call(v_api_key_id, v_calls_a_minute);
            IF v_limits IS NOT NULL THEN
                RETURN ROW(
                    'rate_limited', NULL, v_user_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, v_limits
                )::usage_charge_outcome;
            END IF;
        END IF;
    END IF;
    v_credits := usage_cost(v_price, p_credits, p_units, p_status);
    v_id := nextval('ledger_entry_id_seq');
    v_endpoint := coalesce(v_price.endpoint, '*');

    IF v_credits = 0 THEN
        v_move := usage_note_free_charge(v_user_id, v_id, p_idempotency_key, p_fingerprint, p_request_id);
    ELSE
        IF p_credits IS NOT NULL THEN
            PERFORM ledger_refuse_inexact(p_credits);
        END IF;
        IF v_spending_limit IS NULL THEN
            v_move := ledger_move(
                v_user_id, 'debit', 'usage', -v_credits, v_endpoint, coalesce(p_reference, p_request_id::text),
                usage_entry_metadata(p_metadata, jsonb_build_object('charge_id', v_id, 'request_id', p_request_id)),
                'charge', p_idempotency_key, p_fingerprint, p_entry_id => v_id);
        ELSE
            v_move := usage_move_within_limit(
                ROW(v_user_id, v_api_key_id, v_original_key_id, v_spending_limit, v_reset_day, NULL, NULL)::usage_customer,
                v_credits, v_endpoint, coalesce(p_reference, p_request_id::text),
                usage_entry_metadata(p_metadata, jsonb_build_object('charge_id', v_id, 'request_id', p_request_id)),
                p_idempotency_key, p_fingerprint, v_id);
        END IF;
        IF v_move.entry_id IS NULL THEN
            v_status := 402;
            IF v_move.reason = 'key_limit' THEN
                v_limits := usage_key_standing(v_user_id, v_original_key_id, v_spending_limit, v_reset_day, v_now);
            END IF;
            IF v_calls_a_minute IS NOT NULL THEN
                PERFORM usage_return_call(v_api_key_id);  -- a refused request costs nothing anywhere
            END IF;
        END IF;
    END IF;

    -- usage_log_request, written out: calling a function more makes a charge 8 % slower.
    v_now := coalesce(v_move.created_at, v_now);
    v_paid := CASE WHEN v_move.entry_id IS NULL THEN 0 ELSE v_credits END;
    INSERT INTO usage_requestlog (
        id, user_id, api_key_id, endpoint, path, method, status, units, credits, price_id, entry_id, latency_ms,
        request_id, reference, metadata, source, occurred_at)
    VALUES (
        v_id, v_user_id, v_api_key_id, v_endpoint, p_endpoint, p_method, v_status, p_units, v_paid, v_price.id,
        v_move.entry_id, p_latency_ms, p_request_id, p_reference, p_metadata, '', v_now);
    IF v_original_key_id IS NOT NULL AND v_paid > 0 THEN
        UPDATE usage_keyspending SET credits = credits + v_paid,
            next_credits = next_credits
                + CASE WHEN (v_now AT TIME ZONE 'UTC')::date >= next_on THEN v_paid ELSE 0 END,
            counted_on = greatest(counted_on, (v_now AT TIME ZONE 'UTC')::date)
        WHERE user_id = v_user_id AND api_key_id = v_original_key_id AND began_on <= (v_now AT TIME ZONE 'UTC')::date;
    END IF;
    INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
    VALUES (
        v_user_id, (v_now AT TIME ZONE 'UTC')::date, v_endpoint,
        (v_status < 400)::int,
        (v_status >= 400 AND v_status NOT IN (401, 402, 429))::int,
        (v_status IN (401, 402, 429))::int,
        v_paid)
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
        successful = d.successful + excluded.successful,
        failed = d.failed + excluded.failed,
        rejected = d.rejected + excluded.rejected,
        credits = d.credits + excluded.credits;
    RETURN ROW(
        CASE WHEN v_move.outcome = 'insufficient' THEN 'insufficient' ELSE 'charged' END,
        v_id, v_user_id, v_credits, v_move.entry_id, v_move.balance, v_move.reserved, v_move.available,
        v_move.reason, v_move.next_hold_expires_at, p_request_id, v_limits)::usage_charge_outcome;
END $$;

