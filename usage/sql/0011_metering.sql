-- Metering calls: charges that refunds find for ever, holds opened and captured for requests, refunds.

-- Requests and entries share one sequence of ids (docs/decisions/0023); ledger 0011 has moved it past both.
ALTER TABLE usage_requestlog ALTER COLUMN id DROP IDENTITY IF EXISTS;
ALTER TABLE usage_requestlog ALTER COLUMN id SET DEFAULT nextval('ledger_entry_id_seq');

-- None, unless this release was taken back and comes again: then what was given back is known from the ledger.
INSERT INTO usage_refund (entry_id, user_id, charge_id, endpoint, credits, occurred_at, created_at)
SELECT e.id, e.user_id, d.id, d.description, e.amount, d.created_at, e.created_at
FROM ledger_entry e JOIN ledger_entry d ON d.id = e.reverses_id
WHERE e.reverses_id IS NOT NULL AND e.reason = 'refund';

CREATE TRIGGER refund_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_refund
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Log one request that has just been paid for (or was free, or refused) and count it, for the statistics and, where
-- that is being counted, as spent by its key. Whoever has paid holds the customer's balance.
CREATE FUNCTION usage_log_request(
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

-- Charge one request as it happens: find the customer, price it, debit, log, count; one call, all or nothing.
-- The customer is named by `p_user_id` or by the SHA-256 of one of their keys. `p_credits` overrides the price.
-- Repeating a call with its key answers `replayed` with the charge made then; a refusal is not remembered, but
-- one for want of credits is logged as rejected (402).
CREATE OR REPLACE FUNCTION usage_charge(
    p_user_id bigint, p_key_hash bytea, p_endpoint text, p_method text, p_status integer, p_units numeric,
    p_credits numeric, p_latency_ms integer, p_reference text, p_metadata jsonb, p_idempotency_key text,
    p_fingerprint bytea, p_request_id uuid
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
    v_done_entry_id bigint;
    v_done_fingerprint bytea;
    v_price usage_price;
    v_endpoint text;
    v_credits numeric;
    v_paid numeric;
    v_id bigint;
    v_status integer := p_status;
    v_move ledger_outcome;
BEGIN
    IF p_key_hash IS NOT NULL THEN
        SELECT user_id, id, coalesce(original_id, id), spending_limit, spending_reset_day
        INTO v_user_id, v_api_key_id, v_original_key_id, v_spending_limit, v_reset_day FROM accounts_apikey
        WHERE key_hash = p_key_hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > v_now);
    END IF;
    SELECT is_active INTO v_active FROM accounts_user WHERE id = v_user_id;
    IF v_active IS NOT TRUE THEN
        RETURN ROW(
            CASE WHEN p_key_hash IS NOT NULL THEN 'key_invalid'
                WHEN v_active IS NULL THEN 'customer_unknown' ELSE 'customer_inactive' END,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::usage_charge_outcome;
    END IF;

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
    IF FOUND THEN
        RETURN ROW(
            CASE WHEN v_done_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END,
            NULL, v_user_id, NULL, v_done_entry_id, NULL, NULL, NULL, NULL, NULL, NULL)::usage_charge_outcome;
    END IF;

    -- Most endpoints are codes: one look-up in the unique index, without a further function.
    SELECT * INTO v_price FROM usage_price
    WHERE endpoint = p_endpoint AND method IN ('', p_method) AND kind = 'code' AND effective_from <= v_now
    ORDER BY method DESC, effective_from DESC LIMIT 1;
    IF NOT FOUND THEN
        v_price := usage_find_price(p_endpoint, p_method, v_now);
    END IF;
    IF v_price.id IS NULL AND p_credits IS NULL THEN
        RETURN ROW('price_unknown', NULL, v_user_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::usage_charge_outcome;
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
                p_metadata || jsonb_build_object('charge_id', v_id, 'request_id', p_request_id), 'charge',
                p_idempotency_key, p_fingerprint, p_entry_id => v_id);
        ELSE
            v_move := usage_move_within_limit(
                ROW(v_user_id, v_api_key_id, v_original_key_id, v_spending_limit, v_reset_day, NULL)::usage_customer,
                v_credits, v_endpoint, coalesce(p_reference, p_request_id::text),
                p_metadata || jsonb_build_object('charge_id', v_id, 'request_id', p_request_id),
                p_idempotency_key, p_fingerprint, v_id);
        END IF;
        IF v_move.entry_id IS NULL THEN
            v_status := 402;
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
        v_move.reason, v_move.next_hold_expires_at, p_request_id)::usage_charge_outcome;
END $$;

-- Set credits aside for a request that is about to be worked on: `p_credits`, or what `p_units` of the endpoint cost.
--   outcome    as ledger_open_hold, and price_unknown | key_invalid | customer_inactive | customer_unknown
CREATE FUNCTION usage_open_hold(
    p_user_id bigint, p_key_hash bytea, p_credits numeric, p_endpoint text, p_method text, p_units numeric,
    p_seconds integer, p_reference text, p_metadata jsonb, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_customer usage_customer := usage_find_customer(p_user_id, p_key_hash);
    v_price usage_price;
    v_credits numeric;
    v_refusal ledger_outcome;
    r ledger_hold_outcome;
BEGIN
    IF v_customer.refusal IS NOT NULL THEN
        r.outcome := v_customer.refusal;
        RETURN r;
    END IF;
    IF p_credits IS NULL THEN
        v_price := usage_find_price(p_endpoint, p_method, clock_timestamp());
        IF v_price.id IS NULL THEN
            r.outcome := 'price_unknown';
            RETURN r;
        END IF;
    END IF;
    v_credits := usage_cost(v_price, p_credits, p_units, 200);
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
            RETURN r;
        END IF;
    END IF;
    RETURN ledger_open_hold(
        v_customer.user_id, v_credits, p_seconds, p_reference, p_metadata,
        p_idempotency_key, p_fingerprint, v_customer.api_key_id,
        jsonb_build_object('endpoint', p_endpoint, 'method', p_method, 'units', p_units::text));
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
        CASE WHEN p_status IN (401, 402, 429) THEN 0
            WHEN p_credits IS NULL AND p_status >= 400 AND v_price.charge_failures IS NOT TRUE THEN 0
            ELSE p_credits END,
        p_final, v_id, v_endpoint, coalesce(p_reference, v_hold.reference, p_request_id::text),
        p_metadata || jsonb_build_object('charge_id', v_id, 'request_id', p_request_id, 'hold_id', p_hold_id),
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

-- Give back what a charge or a capture cost, wholly or in part, and lower the statistics of its day by as much.
--   outcome      posted | replayed | key_reused | refund_exceeds_charge | not_found
--   available    with refund_exceeds_charge: what is left to give back
-- A paid charge has the id of its entry. The metadata say so too, and tell it from older ones, whose ids were others.
CREATE FUNCTION usage_refund(
    p_charge_id bigint, p_user_id bigint, p_credits numeric, p_description text, p_idempotency_key text,
    p_fingerprint bytea
) RETURNS ledger_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_debit ledger_entry;
    r ledger_outcome;
BEGIN
    SELECT * INTO v_debit FROM ledger_entry
    WHERE id = p_charge_id AND operation IN ('charge', 'capture_hold') AND (p_user_id IS NULL OR user_id = p_user_id)
        AND metadata ->> 'charge_id' = id::text;
    IF NOT FOUND THEN
        -- A charge that cost nothing is in the log alone.
        r.outcome := CASE WHEN EXISTS (
            SELECT FROM usage_requestlog
            WHERE id = p_charge_id AND entry_id IS NULL AND source = '' AND status <> 402
                AND (p_user_id IS NULL OR user_id = p_user_id)
        ) THEN 'refund_exceeds_charge' ELSE 'not_found' END;
        r.available := 0;
        RETURN r;
    END IF;
    r := ledger_refund(v_debit, p_credits, p_description, p_idempotency_key, p_fingerprint);
    IF r.outcome = 'posted' THEN
        INSERT INTO usage_refund (entry_id, user_id, charge_id, endpoint, credits, occurred_at)
        SELECT r.entry_id, v_debit.user_id, v_debit.id, v_debit.description, amount, v_debit.created_at
        FROM ledger_entry WHERE id = r.entry_id;
        UPDATE usage_dailyusage d SET credits = d.credits - f.credits
        FROM usage_refund f
        WHERE f.entry_id = r.entry_id AND d.user_id = f.user_id AND d.endpoint = f.endpoint
            AND d.day = (f.occurred_at AT TIME ZONE 'UTC')::date;
        PERFORM usage_count_key_spending(
            l.user_id, l.api_key_id, -f.credits, (l.occurred_at AT TIME ZONE 'UTC')::date)
        FROM usage_refund f JOIN usage_requestlog l ON l.id = f.charge_id AND l.occurred_at = f.occurred_at
        WHERE f.entry_id = r.entry_id AND l.api_key_id IS NOT NULL;
    END IF;
    RETURN r;
END $$;

-- Recompute the roll-ups of whole days from the log and what was given back; answers how many rows differ from what
-- stood there. The log is what happened, the roll-up only its sum. One customer, or all of them.
CREATE OR REPLACE FUNCTION usage_rebuild_days(p_user_id bigint, p_from date, p_to date) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_changed integer;
BEGIN
    -- Whoever counts holds a row of this table; nobody counts while the sums are made anew.
    LOCK TABLE usage_dailyusage IN EXCLUSIVE MODE;
    WITH given_back AS (
        SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, endpoint, sum(credits) AS credits
        FROM usage_refund
        WHERE (p_user_id IS NULL OR user_id = p_user_id)
            AND occurred_at >= p_from::timestamp AT TIME ZONE 'UTC'
            AND occurred_at < p_to::timestamp AT TIME ZONE 'UTC'
        GROUP BY user_id, day, endpoint
    ), logged AS (
        SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, endpoint,
            count(*) FILTER (WHERE status < 400) AS successful,
            count(*) FILTER (WHERE status >= 400 AND status NOT IN (401, 402, 429)) AS failed,
            count(*) FILTER (WHERE status IN (401, 402, 429)) AS rejected,
            sum(credits) AS credits
        FROM usage_requestlog
        WHERE (p_user_id IS NULL OR user_id = p_user_id)
            AND occurred_at >= p_from::timestamp AT TIME ZONE 'UTC'
            AND occurred_at < p_to::timestamp AT TIME ZONE 'UTC'
        GROUP BY user_id, day, endpoint
    ), truth AS (
        SELECT user_id, day, endpoint, successful, failed, rejected,
            logged.credits - coalesce(given_back.credits, 0) AS credits
        FROM logged LEFT JOIN given_back USING (user_id, day, endpoint)
    ), gone AS (
        DELETE FROM usage_dailyusage d
        WHERE (p_user_id IS NULL OR user_id = p_user_id) AND day >= p_from AND day < p_to
            AND NOT EXISTS (SELECT FROM truth t WHERE (t.user_id, t.day, t.endpoint) = (d.user_id, d.day, d.endpoint))
        RETURNING 1
    ), mended AS (
        INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
        SELECT * FROM truth
        ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
            successful = excluded.successful, failed = excluded.failed,
            rejected = excluded.rejected, credits = excluded.credits
        WHERE (d.successful, d.failed, d.rejected, d.credits)
            <> (excluded.successful, excluded.failed, excluded.rejected, excluded.credits)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM mended) INTO v_changed;
    RETURN v_changed;
END $$;
