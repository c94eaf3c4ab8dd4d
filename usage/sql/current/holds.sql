-- Holds for requests: credits set aside for a request, and captured for what it cost.
--
-- Promises that a hold is priced when it is opened, and that its capture is logged and counted as a charge is.
-- Called by usage/services/holding.py:hold_for_request and :capture_hold and
-- usage/services/metered_requests.py:_number (usage_number_repeat).
-- Locks: the rate limit of an API key that has one; ledger_balance and the hold, as ledger/sql/current/holds.sql says;
-- then the sums of the day.

-- What came of an attempt to open a hold: as ledger_hold_outcome, and
--   outcome    also price_unknown | key_invalid | customer_inactive | customer_unknown | rate_limited
--   limits     with reason key_limit: usage_key_standing; with rate_limited: usage_take_call
CREATE TYPE usage_hold_outcome AS (
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
    next_hold_expires_at timestamptz,
    limits jsonb
);

-- Set credits aside for a request that is about to be worked on: `p_credits`, or what `p_units` of the endpoint cost.
-- Repeating a call with its key returns `replayed` with the hold opened then, even if the customer may no longer be
-- charged. A key's calls a minute are counted when a hold is opened by it, and not again when that is captured.
CREATE FUNCTION usage_open_hold(
    p_user_id bigint, p_key_hash bytea, p_credits numeric, p_endpoint text, p_method text, p_units numeric,
    p_seconds integer, p_reference text, p_metadata jsonb, p_idempotency_key text, p_fingerprint bytea,
    p_is_admitted boolean DEFAULT false
) RETURNS usage_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_customer usage_customer := usage_find_customer(p_user_id, p_key_hash);
    v_counts_calls boolean := v_customer.rate_limit_per_minute IS NOT NULL AND NOT p_is_admitted;
    v_hold ledger_hold;
    v_price usage_price;
    v_credits numeric;
    v_refusal ledger_outcome;
    h ledger_hold_outcome;
    r usage_hold_outcome;
BEGIN
    IF v_customer.refusal IS NOT NULL THEN
        -- Another call with this key has locked the balance: only under the lock is it known that there was none.
        PERFORM FROM ledger_balance WHERE user_id = v_customer.user_id FOR NO KEY UPDATE;
    END IF;
    IF v_customer.refusal IS NOT NULL OR v_counts_calls THEN
        SELECT * INTO v_hold FROM ledger_hold
        WHERE user_id = v_customer.user_id AND idempotency_key = p_idempotency_key;
        IF FOUND AND (v_customer.refusal IS NULL OR v_hold.fingerprint = p_fingerprint) THEN
            h := ledger_hold_result(
                CASE WHEN v_hold.fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END, v_hold, NULL, NULL);
            SELECT h.*, NULL::jsonb INTO r;
            RETURN r;
        END IF;
        IF v_customer.refusal IS NOT NULL THEN
            r.outcome := v_customer.refusal;
            RETURN r;
        END IF;
    END IF;
    IF p_credits IS NULL THEN
        v_price := usage_find_price(p_endpoint, p_method, clock_timestamp());
        IF v_price.id IS NULL THEN
            r.outcome := 'price_unknown';
            RETURN r;
        END IF;
    END IF;
    v_credits := usage_cost(v_price, p_credits, p_units, 200);
    IF v_counts_calls THEN
        r.limits := usage_take_call(v_customer.api_key_id, v_customer.rate_limit_per_minute);
        IF r.limits IS NOT NULL THEN
            r.outcome := 'rate_limited';
            RETURN r;
        END IF;
    END IF;
    IF v_customer.spending_limit IS NOT NULL AND v_credits > 0 THEN
        v_refusal := ledger_refusal(ledger_lock_balance(v_customer.user_id), v_credits);
        IF usage_key_left(v_customer, clock_timestamp()) < v_credits AND NOT EXISTS (
            SELECT FROM ledger_hold WHERE user_id = v_customer.user_id AND idempotency_key = p_idempotency_key
        ) THEN
            r.outcome := 'insufficient';
            r.required := v_credits;
            r.reserved := v_refusal.reserved;
            r.available := v_refusal.available;
            r.reason := 'key_limit';
            r.next_hold_expires_at := v_refusal.next_hold_expires_at;
            r.limits := usage_key_standing(
                v_customer.user_id, v_customer.original_key_id, v_customer.spending_limit,
                v_customer.spending_reset_day, clock_timestamp());
        END IF;
    END IF;
    IF r.outcome IS NULL THEN
        h := ledger_open_hold(
            v_customer.user_id, v_credits, p_seconds, p_reference, p_metadata,
            p_idempotency_key, p_fingerprint, v_customer.api_key_id,
            jsonb_build_object('endpoint', p_endpoint, 'method', p_method, 'units', p_units::text));
        SELECT h.*, NULL::jsonb INTO r;
    END IF;
    IF v_counts_calls AND r.outcome <> 'opened' THEN
        PERFORM usage_return_call(v_customer.api_key_id);  -- a refused request costs nothing anywhere
    END IF;
    RETURN r;
END $$;

-- Capture a hold for a request that has been worked on, and log and count that. What is not said is as it was when
-- the hold was opened. A request that was rejected takes nothing; nor does one that failed, unless `p_credits` says how
-- much, or its price charges failures.
--   outcome    as ledger_capture_hold
CREATE FUNCTION usage_capture_hold(
    p_hold_id bigint, p_user_id bigint, p_credits numeric, p_final boolean, p_endpoint text, p_method text,
    p_status integer, p_units numeric, p_latency_ms integer, p_reference text, p_metadata jsonb,
    p_idempotency_key text, p_fingerprint bytea, p_request_id uuid
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold ledger_hold;
    v_path text;
    v_method text;
    v_endpoint text;
    v_price usage_price;
    v_id bigint := nextval('ledger_entry_id_seq');
    v_credits numeric;
    r ledger_hold_outcome;
BEGIN
    SELECT * INTO v_hold FROM ledger_hold WHERE id = p_hold_id;  -- what is read of it never changes
    v_path := coalesce(p_endpoint, v_hold.purpose ->> 'endpoint', '*');
    v_method := coalesce(nullif(p_method, ''), v_hold.purpose ->> 'method', '');
    v_price := usage_find_price(v_path, v_method, clock_timestamp());
    v_endpoint := coalesce(v_price.endpoint, '*');
    IF p_credits IS NOT NULL THEN
        PERFORM ledger_refuse_inexact(p_credits);
    END IF;
    r := ledger_capture_hold(
        p_hold_id, p_user_id,
        CASE WHEN usage_is_rejected(p_status) THEN 0
            WHEN p_credits IS NULL AND p_status >= 400 AND v_price.charge_failures IS NOT TRUE THEN 0
            ELSE p_credits END,
        p_final, v_id, v_endpoint, coalesce(p_reference, v_hold.reference, p_request_id::text),
        usage_entry_metadata(
            p_metadata, jsonb_build_object('charge_id', v_id, 'request_id', p_request_id, 'hold_id', p_hold_id)),
        p_idempotency_key, p_fingerprint);
    IF r.outcome = 'captured' THEN
        v_credits := coalesce((SELECT -amount FROM ledger_entry WHERE id = r.entry_id), 0);
        PERFORM usage_log_request(
            v_id, r.user_id, v_hold.api_key_id,
            (SELECT coalesce(original_id, id) FROM accounts_apikey WHERE id = v_hold.api_key_id),
            v_endpoint, v_path, v_method, p_status,
            coalesce(p_units, (v_hold.purpose ->> 'units')::numeric, 1),
            v_credits, v_price.id, r.entry_id, p_latency_ms, p_request_id, coalesce(p_reference, v_hold.reference),
            p_metadata, r.entry_at);
    END IF;
    RETURN r;
END $$;

-- Number a metered request that shares a hold with an earlier one: from 1 to `p_most`, none twice, over all processes.
-- NULL: there are as many already. Each is work that is paid once.
CREATE FUNCTION usage_number_repeat(p_hold_id bigint, p_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    FOR n IN 1 .. p_most LOOP
        INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
        SELECT user_id, 'repeat_request', format('metered %s repeat %s', id, n), fingerprint, id
        FROM ledger_hold WHERE id = p_hold_id
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN n;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
