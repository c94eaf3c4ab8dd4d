-- Charging and recording: the doors through which requests come in.

-- Add to the roll-up of one customer, day and endpoint.
CREATE FUNCTION usage_count(
    p_user_id bigint, p_occurred_at timestamptz, p_endpoint text, p_status integer, p_credits numeric
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
    VALUES (
        p_user_id, (p_occurred_at AT TIME ZONE 'UTC')::date, p_endpoint,
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

-- What came of a charge.
--   outcome    charged | replayed | key_reused | insufficient | price_unknown | key_invalid | customer_inactive
--              | customer_unknown
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
    request_id uuid
);

-- Charge one request as it happens: find the customer, price it, debit, log, count; one call, all or nothing.
-- The customer is named by `p_user_id` or by the SHA-256 of one of their keys. `p_credits` overrides the price.
-- Repeating a call with its key answers `replayed` with the charge made then; a refusal is not remembered, but
-- one for want of credits is logged as rejected (402).
CREATE FUNCTION usage_charge(
    p_user_id bigint, p_key_hash bytea, p_endpoint text, p_method text, p_status integer, p_units numeric,
    p_credits numeric, p_latency_ms integer, p_reference text, p_metadata jsonb, p_idempotency_key text,
    p_fingerprint bytea, p_request_id uuid
) RETURNS usage_charge_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r usage_charge_outcome;
    v_move ledger_outcome;
    v_done ledger_operationkey;
    v_price usage_price;
    v_api_key_id bigint;
    v_active boolean;
    v_endpoint text;
    v_now timestamptz := clock_timestamp();
BEGIN
    IF p_key_hash IS NOT NULL THEN
        SELECT u.id, k.id INTO r.user_id, v_api_key_id
        FROM accounts_apikey k JOIN accounts_user u ON u.id = k.user_id
        WHERE k.key_hash = p_key_hash AND k.revoked_at IS NULL AND u.is_active
            AND (k.expires_at IS NULL OR k.expires_at > v_now);
        IF NOT FOUND THEN
            r.outcome := 'key_invalid';
            RETURN r;
        END IF;
    ELSE
        SELECT id, is_active INTO r.user_id, v_active FROM accounts_user WHERE id = p_user_id;
        IF NOT FOUND OR NOT v_active THEN
            r.outcome := CASE WHEN r.user_id IS NULL THEN 'customer_unknown' ELSE 'customer_inactive' END;
            RETURN r;
        END IF;
    END IF;

    v_move := ledger_replay(r.user_id, 'charge', p_idempotency_key, p_fingerprint);
    IF v_move.outcome IS NULL THEN
        SELECT * INTO v_done FROM ledger_operationkey
        WHERE user_id = r.user_id AND operation = 'charge' AND idempotency_key = p_idempotency_key;
        IF FOUND THEN
            v_move.outcome := CASE WHEN v_done.fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
        END IF;
    END IF;
    IF v_move.outcome IS NOT NULL THEN
        r.outcome := v_move.outcome;
        r.entry_id := v_move.entry_id;
        RETURN r;
    END IF;

    v_price := usage_find_price(p_endpoint, p_method, v_now);
    IF v_price.id IS NULL AND p_credits IS NULL THEN
        r.outcome := 'price_unknown';
        RETURN r;
    END IF;
    v_endpoint := coalesce(v_price.endpoint, '*');
    r.credits := usage_cost(v_price, p_credits, p_units, p_status);
    r.request_id := p_request_id;

    r.charge_id := nextval('usage_requestlog_id_seq');
    IF r.credits = 0 THEN
        -- Nothing is locked or settled for nothing: holds that have run out are only left out of the sum.
        SELECT b.balance,
            b.reserved - CASE WHEN b.next_expiry_at > v_now THEN 0 ELSE coalesce((
                SELECT sum(h.credits - h.captured) FROM ledger_hold h
                WHERE h.user_id = b.user_id AND h.status = 'open' AND h.expires_at <= v_now), 0) END
        INTO r.balance_after, r.reserved
        FROM ledger_balance b WHERE b.user_id = r.user_id;
        r.balance_after := coalesce(r.balance_after, 0);
        r.reserved := coalesce(r.reserved, 0);
        r.available := r.balance_after - r.reserved;
        INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id, result)
        VALUES (r.user_id, 'charge', p_idempotency_key, p_fingerprint, r.charge_id,
                jsonb_build_object('request_id', p_request_id, 'balance_after', r.balance_after::text))
        ON CONFLICT (user_id, operation, idempotency_key) DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'another call has just used this key' USING ERRCODE = 'serialization_failure';
        END IF;
    ELSE
        v_move := ledger_move(
            r.user_id, 'debit', 'usage', -r.credits, v_endpoint, coalesce(p_reference, p_request_id::text),
            jsonb_build_object('charge_id', r.charge_id, 'endpoint', v_endpoint, 'request_id', p_request_id)
                || CASE WHEN p_metadata = '{}' THEN '{}' ELSE jsonb_build_object('metadata', p_metadata) END,
            'charge', p_idempotency_key, p_fingerprint);
        r.entry_id := v_move.entry_id;
        r.balance_after := v_move.balance;
        r.reserved := v_move.reserved;
        r.available := v_move.available;
        r.reason := v_move.reason;
        r.next_hold_expires_at := v_move.next_hold_expires_at;
    END IF;

    IF r.credits > 0 AND r.entry_id IS NULL THEN
        r.outcome := v_move.outcome;
        INSERT INTO usage_requestlog (
            id, user_id, api_key_id, endpoint, path, method, status, units, credits, price_id, latency_ms,
            request_id, reference, metadata, source, occurred_at)
        VALUES (
            r.charge_id, r.user_id, v_api_key_id, v_endpoint, p_endpoint, p_method, 402, p_units, 0, v_price.id,
            p_latency_ms, p_request_id, p_reference, p_metadata, '', v_now);
        PERFORM usage_count(r.user_id, v_now, v_endpoint, 402, 0);
        RETURN r;
    END IF;

    INSERT INTO usage_requestlog (
        id, user_id, api_key_id, endpoint, path, method, status, units, credits, price_id, entry_id, latency_ms,
        request_id, reference, metadata, source, occurred_at)
    VALUES (
        r.charge_id, r.user_id, v_api_key_id, v_endpoint, p_endpoint, p_method, p_status, p_units, r.credits,
        v_price.id, r.entry_id, p_latency_ms, p_request_id, p_reference, p_metadata, '', v_now);
    PERFORM usage_count(r.user_id, v_now, v_endpoint, p_status, r.credits);
    r.outcome := 'charged';
    RETURN r;
END $$;
