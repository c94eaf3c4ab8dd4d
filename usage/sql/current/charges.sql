-- Charges: one request, charged as it happens.
--
-- Promises that a charge is priced, debited, logged and counted in one call, all or nothing, and once for each
-- idempotency key.
-- Called by usage/services/charges/calls.py:charge_one.
-- Locks: the idempotency key (an advisory lock, so that calls with one key follow each other), which is looked up then;
-- the rate limit of an API key that has one; ledger_balance, by the conditional UPDATE of ledger_move or, for an API key
-- with a spending limit, by ledger_lock_balance; then what the API key has spent, and the sums of the day.

-- What came of a charge.
--   outcome    charged | replayed | key_reused | insufficient | price_unknown | key_invalid | customer_inactive
--              | customer_unknown | rate_limited
--   limits     with reason key_limit: usage_key_standing; with rate_limited: usage_take_call
CREATE TYPE usage_charge_outcome AS (
    outcome text,
    charge_id bigint,
    user_id bigint,
    credits numeric,
    entry_id bigint,
    balance_after numeric,
    reserved numeric,
    available numeric,
    reason text,
    next_hold_expires_at timestamptz,
    request_id uuid,
    limits jsonb
);

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

-- Keep the key of a charge that costs nothing, and return what the customer has. Nothing is locked or settled for
-- it: holds and grants that have expired are only left out of the sums.
CREATE FUNCTION usage_note_free_charge(
    p_user_id bigint, p_charge_id bigint, p_idempotency_key text, p_fingerprint bytea, p_request_id uuid
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_balance numeric := 0;
    v_reserved numeric := 0;
BEGIN
    SELECT b.balance - CASE WHEN b.next_expiry_at > v_now THEN 0 ELSE coalesce((
            ledger_expired_credits(b.user_id, v_now)).credits, 0) END,
        b.reserved - CASE WHEN b.next_expiry_at > v_now THEN 0 ELSE coalesce((
            SELECT sum(h.credits - h.captured) FROM ledger_hold h
            WHERE h.user_id = b.user_id AND h.status = 'open' AND h.expires_at <= v_now), 0) END
    INTO v_balance, v_reserved
    FROM ledger_balance b WHERE b.user_id = p_user_id;
    v_balance := coalesce(v_balance, 0);
    v_reserved := coalesce(v_reserved, 0);
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id, result)
    VALUES (p_user_id, 'charge', p_idempotency_key, p_fingerprint, p_charge_id,
            jsonb_build_object('request_id', p_request_id, 'balance_after', v_balance::text));
    RETURN ROW('posted', NULL, NULL, v_balance, v_reserved, v_balance - v_reserved, NULL, NULL, v_now)::ledger_outcome;
END $$;

-- Charge one request as it happens: find the customer, price it, debit, log, count; one call, all or nothing.
-- The customer is named by `p_user_id` or by the SHA-256 of one of their keys. `p_credits` overrides the price.
-- Repeating a call with its key returns `replayed` with the charge made then, even if the customer may no longer be
-- charged; a refusal is not remembered, but one for want of credits is logged as rejected (402). A key's calls a minute
-- are counted when they are charged: neither replays nor refusals nor requests that were themselves rejected take one,
-- nor does what was let in before (`p_is_admitted`: it settles a hold that took its call).
--
-- One long function, since every function more that a charge calls is set up anew in each transaction: with the log
-- alone in a function of its own a charge takes 2.3 % more of the server's time (400 pairs of runs).
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
        IF p_is_admitted OR usage_is_rejected(p_status) THEN
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

    -- usage_log_request, written out.
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
        (v_status >= 400 AND NOT usage_is_rejected(v_status))::int,
        usage_is_rejected(v_status)::int,
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
