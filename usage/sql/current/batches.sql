-- Batches of charges: requests of one customer charged together, each as usage_charge would have.
--
-- Promises each its own outcome, entry, row in the log and idempotency key.
-- Called by usage/services/charges/calls.py:charge_together.
-- Locks: the idempotency keys (advisory locks), in one order; ledger_balance, under whose lock they are looked up; then
-- the sums of the days, and what the API key has spent. With a rate limit: as usage_charge, for each request.

-- One charge of a batch: as asked, and what became of it on the way.
CREATE TYPE usage_batch_row AS (
    n integer,
    id bigint,
    idempotency_key text,
    fingerprint bytea,
    path text,
    method text,
    status integer,
    units numeric,
    latency_ms integer,
    reference text,
    metadata jsonb,
    request_id uuid,
    endpoint text,
    price_id bigint,
    cost numeric,
    paid numeric,
    refusal text,
    done_entry_id bigint,
    move ledger_outcome,
    limits jsonb
);

-- Charge each request of a batch by itself, in their order.
CREATE FUNCTION usage_charge_each(p_user_id bigint, p_key_hash bytea, p_items jsonb)
RETURNS SETOF usage_charge_outcome LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT one.* FROM ROWS FROM (jsonb_to_recordset(p_items) AS (
        key text, fingerprint text, endpoint text, method text, status integer, units numeric, credits numeric,
        latency_ms integer, reference text, metadata jsonb, request_id uuid, is_admitted boolean
    )) WITH ORDINALITY AS item
    CROSS JOIN LATERAL usage_charge(
        p_user_id, p_key_hash, item.endpoint, item.method, item.status, item.units, item.credits, item.latency_ms,
        item.reference, item.metadata, item.key, decode(item.fingerprint, 'hex'), item.request_id,
        coalesce(item.is_admitted, false)) AS one
    ORDER BY item.ordinality;
END $$;

-- Give each request of a batch its id and its price, and look its key up. The caller has locked the balance.
CREATE FUNCTION usage_read_batch(p_user_id bigint, p_items jsonb, p_at timestamptz) RETURNS usage_batch_row[]
LANGUAGE plpgsql AS $$
DECLARE
    v_rows usage_batch_row[];
BEGIN
    WITH item AS MATERIALIZED (
        SELECT *, nextval('ledger_entry_id_seq') AS id FROM ROWS FROM (jsonb_to_recordset(p_items) AS (
            key text, fingerprint text, endpoint text, method text, status integer, units numeric, credits numeric,
            latency_ms integer, reference text, metadata jsonb, request_id uuid)) WITH ORDINALITY
    ), priced AS MATERIALIZED (
        SELECT endpoint, method, usage_find_price(endpoint, method, p_at) AS price
        FROM (SELECT DISTINCT endpoint, method FROM item) asked
    )
    SELECT array_agg(ROW(
            i.ordinality, i.id, i.key, decode(i.fingerprint, 'hex'), i.endpoint, i.method, i.status, i.units,
            i.latency_ms, i.reference, i.metadata, i.request_id, coalesce((p.price).endpoint, '*'), (p.price).id,
            cost, cost,
            CASE WHEN done.fingerprint = decode(i.fingerprint, 'hex') THEN 'replayed'
                WHEN done.fingerprint IS NOT NULL THEN 'key_reused'
                WHEN (p.price).id IS NULL AND i.credits IS NULL THEN 'price_unknown' END,
            done.entry_id, NULL, NULL)::usage_batch_row ORDER BY i.ordinality)
    INTO v_rows
    FROM item i
    JOIN priced p ON p.endpoint = i.endpoint AND p.method = i.method
    CROSS JOIN LATERAL usage_cost(p.price, i.credits, i.units, i.status) AS cost
    LEFT JOIN LATERAL (
        SELECT e.id AS entry_id, e.fingerprint FROM ledger_entry e
        WHERE e.user_id = p_user_id AND e.operation = 'charge' AND e.idempotency_key = i.key
        UNION ALL
        SELECT NULL, o.fingerprint FROM ledger_operationkey o
        WHERE o.user_id = p_user_id AND o.operation = 'charge' AND o.idempotency_key = i.key
        OFFSET 0  -- two look-ups for each key, whatever the planner expects
    ) done ON true;
    RETURN v_rows;
END $$;

-- Debit what the requests of a batch cost, and note what became of each. The caller has locked the balance.
CREATE FUNCTION usage_debit_batch(
    p_customer usage_customer, p_balance ledger_balance, p_rows usage_batch_row[], p_at timestamptz
) RETURNS usage_batch_row[] LANGUAGE plpgsql AS $$
DECLARE
    v_debits ledger_debit[];
    v_moves ledger_outcome[];
    v_is_limited boolean;
    v_standing jsonb;
    v_paid numeric := 0;
BEGIN
    SELECT array_agg(CASE WHEN w.refusal IS NULL THEN ROW(
            w.id, w.cost, w.endpoint, coalesce(w.reference, w.request_id::text),
            usage_entry_metadata(
                w.metadata, jsonb_build_object('charge_id', w.id, 'request_id', w.request_id)),
            w.idempotency_key, w.fingerprint)::ledger_debit END ORDER BY w.n),
        p_customer.spending_limit IS NOT NULL AND bool_or(w.refusal IS NULL AND w.cost > 0)
    INTO v_debits, v_is_limited FROM unnest(p_rows) AS w;
    v_moves := ledger_debit_batch(
        p_balance, 'charge', v_debits, CASE WHEN v_is_limited THEN usage_key_left(p_customer, p_at) END);
    FOR i IN 1 .. cardinality(p_rows) LOOP
        p_rows[i].move := v_moves[i];
        IF v_moves[i].outcome = 'insufficient' THEN
            p_rows[i].status := 402;
            p_rows[i].paid := 0;
            IF v_moves[i].reason = 'key_limit' THEN
                v_standing := coalesce(v_standing, usage_key_standing(
                    p_customer.user_id, p_customer.original_key_id, p_customer.spending_limit,
                    p_customer.spending_reset_day, p_at));
                p_rows[i].limits := v_standing || jsonb_build_object(
                    'spent', ((v_standing ->> 'spent')::numeric + v_paid)::text);
            END IF;
        ELSIF v_moves[i].entry_id IS NOT NULL THEN
            v_paid := v_paid + p_rows[i].paid;
        END IF;
    END LOOP;
    RETURN p_rows;
END $$;

-- Log and count a batch: each request with its debit, if it asked for one; the refused ones are logged as rejected.
CREATE FUNCTION usage_log_batch(p_customer usage_customer, p_rows usage_batch_row[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id, result)
    SELECT p_customer.user_id, 'charge', idempotency_key, fingerprint, id,
        jsonb_build_object('request_id', request_id, 'balance_after', (move).balance::text)
    FROM unnest(p_rows) WHERE refusal IS NULL AND cost = 0 ORDER BY n;

    INSERT INTO usage_requestlog (
        id, user_id, api_key_id, endpoint, path, method, status, units, credits, price_id, entry_id, latency_ms,
        request_id, reference, metadata, source, occurred_at)
    SELECT id, p_customer.user_id, p_customer.api_key_id, endpoint, path, method, status, units, paid, price_id,
        (move).entry_id, latency_ms, request_id, reference, metadata, '', (move).created_at
    FROM unnest(p_rows) WHERE refusal IS NULL ORDER BY n;
    INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
    SELECT p_customer.user_id, ((move).created_at AT TIME ZONE 'UTC')::date AS day, endpoint,
        count(*) FILTER (WHERE status < 400),
        count(*) FILTER (WHERE status >= 400 AND NOT usage_is_rejected(status)),
        count(*) FILTER (WHERE usage_is_rejected(status)),
        sum(paid)
    FROM unnest(p_rows) WHERE refusal IS NULL GROUP BY day, endpoint ORDER BY day, endpoint
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
        successful = d.successful + excluded.successful,
        failed = d.failed + excluded.failed,
        rejected = d.rejected + excluded.rejected,
        credits = d.credits + excluded.credits;
    IF p_customer.api_key_id IS NOT NULL THEN
        PERFORM usage_count_key_spending(p_customer.user_id, p_customer.api_key_id, spent, day)
        FROM (
            SELECT sum(paid) AS spent, max((move).created_at AT TIME ZONE 'UTC')::date AS day
            FROM unnest(p_rows) WHERE refusal IS NULL
        ) paid WHERE spent > 0;
    END IF;
END $$;

-- Charge requests of one customer together, each as usage_charge would have in this order: its own outcome, entry, row
-- in the log and idempotency. One transaction, one move of the balance: on a hot account the row is waited for once
-- instead of once a request. `p_items` is a JSON array of {key, fingerprint (hex), endpoint, method, status, units,
-- credits, latency_ms, reference, metadata, request_id}, no key twice. Returns one row for each, in the same order.
-- What usage_charge would raise an error for fails the whole batch.
CREATE FUNCTION usage_charge_batch(p_user_id bigint, p_key_hash bytea, p_items jsonb)
RETURNS SETOF usage_charge_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_customer usage_customer := usage_find_customer(p_user_id, p_key_hash);
    v_balance ledger_balance;
    v_now timestamptz;
    v_rows usage_batch_row[];
BEGIN
    -- In one order, so that two batches that share keys cannot wait for each other.
    PERFORM pg_advisory_xact_lock(place) FROM (
        SELECT hashtextextended(item ->> 'key', v_customer.user_id) AS place
        FROM jsonb_array_elements(p_items) AS item ORDER BY place OFFSET 0
    ) places;
    -- Where replays have to be told from refusals, and calls to be counted, each is looked at by itself.
    IF v_customer.refusal IS NOT NULL OR v_customer.rate_limit_per_minute IS NOT NULL THEN
        RETURN QUERY SELECT * FROM usage_charge_each(p_user_id, p_key_hash, p_items);
        RETURN;
    END IF;
    v_balance := ledger_lock_used_balance(v_customer.user_id);
    v_now := clock_timestamp();
    v_rows := usage_debit_batch(
        v_customer, v_balance, usage_read_batch(v_customer.user_id, p_items, v_now), v_now);
    PERFORM usage_log_batch(v_customer, v_rows);

    RETURN QUERY SELECT
        CASE WHEN refusal IS NOT NULL THEN refusal
            WHEN (move).outcome = 'insufficient' THEN 'insufficient' ELSE 'charged' END,
        CASE WHEN refusal IS NULL THEN id END, v_customer.user_id, CASE WHEN refusal IS NULL THEN cost END,
        coalesce((move).entry_id, done_entry_id), (move).balance, (move).reserved, (move).available, (move).reason,
        (move).next_hold_expires_at, CASE WHEN refusal IS NULL THEN request_id END, limits
    FROM unnest(v_rows) ORDER BY n;
END $$;
