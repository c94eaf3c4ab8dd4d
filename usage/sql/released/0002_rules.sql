-- What migration 0002_rules of usage runs: written by freeze_sql from sql/current/, never edited.

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

-- Who is meant by an id, or by the SHA-256 of a live key, and what may be spent by that key.
--   original_key_id    the first of the keys that rotations put in each other's place: they spend as one
--   refusal            key_invalid | customer_unknown | customer_inactive, or NULL
CREATE TYPE usage_customer AS (
    user_id bigint, api_key_id bigint, original_key_id bigint, spending_limit numeric, spending_reset_day smallint,
    refusal text, rate_limit_per_minute integer);

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

-- One reported request on its way into the log.
CREATE TYPE usage_reported AS (
    n integer,
    line_key bytea,
    endpoint text,
    path text,
    method text,
    status integer,
    units numeric,
    latency_ms integer,
    api_key_id bigint,
    reference text,
    occurred_at timestamptz,
    price_id bigint,
    cost numeric,
    unpaid boolean,
    source text
);

-- What was paid for reported requests: the credits, the one debit, and the places of those that stay unpaid.
CREATE TYPE usage_settled AS (credits numeric, entry_id bigint, unpaid integer[]);

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

-- Who is meant by an id, or by the SHA-256 of a key, and what may be spent by that key.
--   original_key_id    the first of the keys that rotations put in each other's place: they spend as one
--   refusal            key_invalid | customer_unknown | customer_inactive, or NULL. The customer of a dead key is named
--                      all the same: what was done for them before has its replay
CREATE FUNCTION usage_find_customer(p_user_id bigint, p_key_hash bytea) RETURNS usage_customer
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

-- Whether an operation was done under a key: what is under way is waited for. For calls that name a customer by a key
-- that has ended: only what has its replay is let through.
CREATE FUNCTION usage_has_been_done(p_user_id bigint, p_operation text, p_idempotency_key text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    RETURN EXISTS (
        SELECT FROM ledger_entry
        WHERE user_id = p_user_id AND operation = p_operation AND idempotency_key = p_idempotency_key
        UNION ALL
        SELECT FROM ledger_operationkey
        WHERE user_id = p_user_id AND operation = p_operation AND idempotency_key = p_idempotency_key);
END $$;

-- Log, price, debit and count events of one customer: requests that already happened, each known by its key (SHA-256 of
-- source and id) for ever. One debit for the batch; each row of the log knows it. All or nothing, and in any number of
-- repetitions only once.
-- The events come as columns, since that is what is written and read soonest; keys in hexadecimal. Returns their places
-- (from 1): {accepted, duplicates, rejected (no price names them), unpaid (also accepted)}, and {credits, entry_id} of
-- the debit.
CREATE FUNCTION usage_record_events(
    p_user_id bigint, p_keys text[], p_sources text[], p_references text[], p_paths text[], p_methods text[],
    p_statuses integer[], p_units numeric[], p_latencies_ms integer[], p_api_key_ids bigint[], p_times timestamptz[]
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_rows usage_reported[];
    v_new usage_reported[];
    v_rejected integer[];
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    v_settled usage_settled;
BEGIN
    -- Where no price changed between the first and the last of them, each endpoint's price is looked up once.
    WITH event AS MATERIALIZED (
        SELECT * FROM unnest(
            p_keys, p_sources, p_references, p_paths, p_methods, p_statuses, p_units, p_latencies_ms, p_api_key_ids,
            p_times) WITH ORDINALITY AS event(
            key, source, reference, path, method, status, units, latency_ms, api_key_id, occurred_at, n)
    ), span AS MATERIALIZED (
        SELECT min(occurred_at) AS began_at, EXISTS (
            SELECT FROM usage_price
            WHERE effective_from > min(occurred_at) AND effective_from <= max(occurred_at)) AS prices_changed
        FROM event
    ), priced AS MATERIALIZED (
        SELECT path, method, at, usage_find_price(path, method, at) AS price
        FROM (
            SELECT DISTINCT path, method, CASE WHEN prices_changed THEN occurred_at ELSE began_at END AS at
            FROM event, span
        ) asked
    )
    SELECT array_agg(ROW(
            e.n, decode(e.key, 'hex'), (p.price).endpoint, e.path, e.method, e.status, e.units, e.latency_ms,
            e.api_key_id, e.reference, e.occurred_at, (p.price).id, usage_cost(p.price, NULL, e.units, e.status),
            false, e.source
        )::usage_reported ORDER BY e.n) FILTER (WHERE (p.price).id IS NOT NULL),
        coalesce(array_agg(e.n ORDER BY e.n) FILTER (WHERE (p.price).id IS NULL AND NOT EXISTS (
            SELECT FROM usage_eventkey k WHERE k.user_id = p_user_id AND k.event_key = decode(e.key, 'hex'))), '{}')
    INTO v_rows, v_rejected
    FROM event e CROSS JOIN span s
    JOIN priced p ON p.path = e.path AND p.method = e.method
        AND p.at = CASE WHEN s.prices_changed THEN e.occurred_at ELSE s.began_at END;

    -- Most batches are new throughout, which is found out soonest by trying.
    BEGIN
        INSERT INTO usage_eventkey (user_id, event_key) SELECT p_user_id, line_key FROM unnest(v_rows);
        v_new := v_rows;
    EXCEPTION WHEN unique_violation THEN
        WITH first_of_each AS (
            SELECT DISTINCT ON (line_key) line_key, n FROM unnest(v_rows) ORDER BY line_key, n
        ), fresh AS (
            INSERT INTO usage_eventkey (user_id, event_key)
            SELECT p_user_id, line_key FROM first_of_each
            ON CONFLICT DO NOTHING
            RETURNING event_key
        )
        SELECT array_agg(event ORDER BY event.n) INTO v_new
        FROM unnest(v_rows) AS event JOIN first_of_each USING (n) JOIN fresh ON fresh.event_key = event.line_key;
    END;

    IF v_new IS NOT NULL THEN
        v_settled := usage_settle_reported(v_balance, v_new, 'record_events', (
            SELECT CASE WHEN min(source) = max(source) THEN min(source) ELSE 'events' END FROM unnest(v_new)));
    END IF;
    RETURN jsonb_build_object(
        'accepted', (SELECT coalesce(jsonb_agg(n), '[]') FROM unnest(v_new)),
        'rejected', to_jsonb(v_rejected),
        'unpaid', coalesce(to_jsonb(v_settled.unpaid), '[]'),
        'credits', coalesce(v_settled.credits, 0),
        'entry_id', v_settled.entry_id);
END $$;

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

-- The UTC day on which the running count of a key's spending began: the reset day, or the last of a shorter month.
CREATE FUNCTION usage_spending_began(p_reset_day integer, p_at timestamptz) RETURNS date
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_day date := p_at AT TIME ZONE 'UTC';
    v_month date := date_trunc('month', v_day::timestamp);
    v_next date := v_month + interval '1 month';
    v_reset date := v_month + least(p_reset_day, v_next - v_month) - 1;
BEGIN
    IF v_reset > v_day THEN
        v_next := v_month;
        v_month := v_month - interval '1 month';
        v_reset := v_month + least(p_reset_day, v_next - v_month) - 1;
    END IF;
    RETURN v_reset;
END $$;

-- The reset day that follows the one on which a count began: 28 to 31 days later, and never two of them within 32.
CREATE FUNCTION usage_spending_ends(p_reset_day integer, p_began_on date) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT usage_spending_began(p_reset_day, (p_began_on + 32)::timestamp AT TIME ZONE 'UTC')
$$;

-- Give back what a charge or a capture cost, wholly or in part, and lower the statistics of its day by as much.
--   outcome      posted | replayed | key_reused | refund_exceeds_charge | not_found
--   available    with refund_exceeds_charge: what is left to give back
-- A paid charge has the id of its entry. The metadata say so too, and distinguish it from older ones, whose ids were
-- others.
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
        AND coalesce(metadata ->> 'tollbook_charge_id', metadata ->> 'charge_id') = id::text;
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

-- What was spent by a key and those that rotations put in its place since a day began (UTC), as the log knows it.
-- `p_original_key_id` is the first of them.
CREATE FUNCTION usage_key_spent_in_log(p_user_id bigint, p_original_key_id bigint, p_began_on date) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(r.credits - coalesce(f.credits, 0)), 0)
    FROM usage_requestlog r
    JOIN accounts_apikey k ON k.id = r.api_key_id AND coalesce(k.original_id, k.id) = p_original_key_id
    LEFT JOIN LATERAL (
        SELECT sum(credits) AS credits FROM usage_refund
        WHERE user_id = r.user_id AND charge_id = r.entry_id AND occurred_at = r.occurred_at
    ) f ON r.credits > 0
    WHERE r.user_id = p_user_id AND r.occurred_at >= p_began_on::timestamp AT TIME ZONE 'UTC'
$$;

-- What was spent by a key (the first of those that rotations put in each other's place) since a day began (UTC): at
-- once where it is counted, which it is as long as the key has a limit; else from the log. What was counted since an
-- earlier day and was not added to since is nothing, too.
CREATE FUNCTION usage_key_spent(p_user_id bigint, p_original_key_id bigint, p_began_on date) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT credits FROM usage_keyspending
         WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on = p_began_on),
        (SELECT next_credits FROM usage_keyspending
         WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND next_on = p_began_on LIMIT 1),
        (SELECT 0 FROM usage_keyspending
         WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on < p_began_on
             AND counted_on < p_began_on LIMIT 1),
        usage_key_spent_in_log(p_user_id, p_original_key_id, p_began_on))
$$;

-- What open holds of a key, and of those that rotations put in its place, still hold.
CREATE FUNCTION usage_key_held(p_user_id bigint, p_original_key_id bigint, p_at timestamptz) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(credits - captured), 0) FROM ledger_hold
    WHERE user_id = p_user_id AND status = 'open' AND expires_at > p_at AND api_key_id = ANY(ARRAY(
        SELECT id FROM accounts_apikey
        WHERE user_id = p_user_id AND coalesce(original_id, id) = p_original_key_id))
$$;

-- Where a key with a limit stands, for a refusal or a look: {limit, spent, held, resets_at}, credits as text.
CREATE FUNCTION usage_key_standing(
    p_user_id bigint, p_original_key_id bigint, p_spending_limit numeric, p_reset_day integer, p_at timestamptz
) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'limit', p_spending_limit::text,
        'spent', usage_key_spent(p_user_id, p_original_key_id, began_on)::text,
        'held', usage_key_held(p_user_id, p_original_key_id, p_at)::text,
        'resets_on', usage_spending_ends(p_reset_day, began_on))
    FROM (SELECT usage_spending_began(p_reset_day, p_at) AS began_on OFFSET 0) period
$$;

-- How much may still be spent by a key: its limit less what was spent since the count began, and what it holds. The
-- first look of a period begins its count, with what the count before it knows. The caller has locked the customer's
-- balance, as does everyone who adds: so of many requests at once none is let through on an old count. The log is never
-- read here. Where nothing is counted (the one way: a sibling without a limit was used instead of the key for longer
-- than a period) the call ends with SQLSTATE TB002, and comes again after usage_count_key.
CREATE FUNCTION usage_key_left(p_customer usage_customer, p_at timestamptz) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
    v_began date := usage_spending_began(p_customer.spending_reset_day, p_at);
    v_spent numeric;
BEGIN
    SELECT credits INTO v_spent FROM usage_keyspending
    WHERE user_id = p_customer.user_id AND api_key_id = p_customer.original_key_id AND began_on = v_began;
    IF NOT FOUND THEN
        SELECT CASE WHEN next_on = v_began THEN next_credits ELSE 0 END INTO v_spent FROM usage_keyspending
        WHERE user_id = p_customer.user_id AND api_key_id = p_customer.original_key_id
            AND (next_on = v_began OR (began_on < v_began AND counted_on < v_began))
        ORDER BY (next_on = v_began) IS TRUE DESC LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'what this key has spent is not counted' USING ERRCODE = 'TB002';
        END IF;
        PERFORM usage_note_key_spending(
            p_customer.user_id, p_customer.original_key_id, p_customer.spending_reset_day, v_began, v_spent,
            usage_key_spent_in_log(
                p_customer.user_id, p_customer.original_key_id,
                usage_spending_ends(p_customer.spending_reset_day, v_began)),
            p_at);
    END IF;
    RETURN p_customer.spending_limit - v_spent - coalesce((
        SELECT sum(credits - captured) FROM ledger_hold
        WHERE user_id = p_customer.user_id AND status = 'open' AND api_key_id = ANY(ARRAY(
            SELECT id FROM accounts_apikey
            WHERE user_id = p_customer.user_id AND coalesce(original_id, id) = p_customer.original_key_id))), 0);
END $$;

-- Debit a request by a key that has a limit: refused with the reason key_limit where it would be exceeded.
CREATE FUNCTION usage_move_within_limit(
    p_customer usage_customer, p_credits numeric, p_description text, p_reference text, p_metadata jsonb,
    p_idempotency_key text, p_fingerprint bytea, p_id bigint
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_customer.user_id);
    r ledger_outcome;
BEGIN
    IF usage_key_left(p_customer, clock_timestamp()) < p_credits THEN
        r := ledger_refusal(v_balance, p_credits);
        r.reason := 'key_limit';
        RETURN r;
    END IF;
    RETURN ledger_move(
        p_customer.user_id, 'debit', 'usage', -p_credits, p_description, p_reference, p_metadata, 'charge',
        p_idempotency_key, p_fingerprint, p_entry_id => p_id);
END $$;

-- Add to what was spent by a key (or take from it, for a refund), wherever that is being counted: `p_day` (UTC) is the
-- day of the request. The caller has locked the customer's balance.
CREATE FUNCTION usage_count_key_spending(p_user_id bigint, p_api_key_id bigint, p_credits numeric, p_day date)
RETURNS void LANGUAGE sql AS $$
    UPDATE usage_keyspending s SET
        credits = s.credits + p_credits,
        next_credits = s.next_credits + CASE WHEN p_day >= s.next_on THEN p_credits ELSE 0 END,
        counted_on = greatest(s.counted_on, p_day)
    FROM accounts_apikey k
    WHERE k.id = p_api_key_id AND s.user_id = p_user_id AND s.api_key_id = coalesce(k.original_id, k.id)
        AND s.began_on <= p_day
$$;

-- Begin a count with what is known to be spent since its day. The caller has locked the customer's balance, as does
-- everyone who adds. Counts of earlier periods go, but for those that another key of the rotation is in.
CREATE FUNCTION usage_note_key_spending(
    p_user_id bigint, p_original_key_id bigint, p_reset_day integer, p_began_on date, p_credits numeric,
    p_next_credits numeric, p_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM usage_keyspending s
    WHERE s.user_id = p_user_id AND s.api_key_id = p_original_key_id AND s.began_on < p_began_on AND NOT EXISTS (
        SELECT FROM accounts_apikey k
        WHERE k.user_id = p_user_id AND coalesce(k.original_id, k.id) = p_original_key_id
            AND k.spending_limit IS NOT NULL AND usage_spending_began(k.spending_reset_day, p_at) = s.began_on);
    -- Some of it may have been reported minutes ahead of its time.
    INSERT INTO usage_keyspending (user_id, api_key_id, began_on, counted_on, credits, next_on, next_credits)
    VALUES (
        p_user_id, p_original_key_id, p_began_on, ((p_at + interval '10 minutes') AT TIME ZONE 'UTC')::date, p_credits,
        usage_spending_ends(p_reset_day, p_began_on), p_next_credits)
    ON CONFLICT DO NOTHING;
END $$;

-- Count from the log what was spent by a key in the running period, unless that is being counted.
-- The log may be long: it is read without any lock, and then, with the balance locked, only what was paid meanwhile is
-- added. Each call that adds locks the balance: an earlier one is in the one or the other, a later one finds the count,
-- once this transaction has ended.
CREATE FUNCTION usage_count_key_from_log(p_user_id bigint, p_original_key_id bigint, p_reset_day integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_began_on date := usage_spending_began(p_reset_day, v_at);
    v_began_at timestamptz := v_began_on::timestamp AT TIME ZONE 'UTC';
    v_next_on date := usage_spending_ends(p_reset_day, v_began_on);
    v_seq bigint;
    v_now_seq bigint;
    v_spent numeric;
    v_paid_meanwhile bigint[];
BEGIN
    PERFORM FROM usage_keyspending
    WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on = v_began_on;
    IF FOUND THEN
        RETURN;
    END IF;
    -- One statement, one snapshot: what it finds in the log was paid by the entries up to this seq, and by none else.
    SELECT coalesce((SELECT seq FROM ledger_balance WHERE user_id = p_user_id), 0),
        usage_key_spent(p_user_id, p_original_key_id, v_began_on)
    INTO v_seq, v_spent;

    SELECT seq INTO v_now_seq FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        v_now_seq := (ledger_lock_balance(p_user_id)).seq;
    END IF;
    IF v_now_seq > v_seq THEN
        SELECT array_agg(id ORDER BY id) INTO v_paid_meanwhile FROM ledger_entry
        WHERE user_id = p_user_id AND seq > v_seq AND reason IN ('usage', 'capture');
        -- A row of the log has the id of the entry that paid for it, or, one of a batch, a later one.
        v_spent := v_spent + coalesce((
            SELECT sum(r.credits) FROM usage_requestlog r
            JOIN accounts_apikey k ON k.id = r.api_key_id AND coalesce(k.original_id, k.id) = p_original_key_id
            WHERE r.user_id = p_user_id AND r.occurred_at >= v_began_at AND r.id >= v_paid_meanwhile[1]
                AND r.entry_id = ANY(v_paid_meanwhile)), 0) - coalesce((
            SELECT sum(f.credits) FROM ledger_entry e
            JOIN usage_refund f ON f.entry_id = e.id
            JOIN usage_requestlog r ON r.id = f.charge_id AND r.occurred_at = f.occurred_at
            JOIN accounts_apikey k ON k.id = r.api_key_id AND coalesce(k.original_id, k.id) = p_original_key_id
            WHERE e.user_id = p_user_id AND e.seq > v_seq AND e.reason = 'refund'
                AND f.occurred_at >= v_began_at), 0);
    END IF;
    PERFORM usage_note_key_spending(
        p_user_id, p_original_key_id, p_reset_day, v_began_on, v_spent,
        usage_key_spent_in_log(p_user_id, p_original_key_id, v_next_on), v_at);
END $$;

-- The same for a key by its SHA-256, when a charge has found that nothing is counted (SQLSTATE TB002): outside of it.
CREATE FUNCTION usage_count_key(p_key_hash bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT usage_count_key_from_log(user_id, coalesce(original_id, id), spending_reset_day) FROM accounts_apikey
    WHERE key_hash = p_key_hash AND user_id IS NOT NULL
$$;

-- A new key has spent nothing: that is known without a look at the log. A limit that is set, or that begins anew on
-- another day, and a limited key in the place of another, are counted here, outside of any charge.
CREATE FUNCTION usage_begin_key_spending() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    IF TG_OP = 'INSERT' AND NEW.original_id IS NULL THEN
        PERFORM usage_note_key_spending(
            NEW.user_id, NEW.id, NEW.spending_reset_day, usage_spending_began(NEW.spending_reset_day, v_now), 0, 0, v_now);
    ELSE
        PERFORM usage_count_key_from_log(NEW.user_id, coalesce(NEW.original_id, NEW.id), NEW.spending_reset_day);
    END IF;
    RETURN NULL;
END $$;

-- The most specific price in force at `p_at`, or, when the request is older than all that match it, the
-- oldest version of the most specific one. A code beats a template, a template a glob, a glob `*`; of two of
-- a kind the one with more literal characters wins, and one that names the method beats one that does not.
-- A query string and a fragment do not count. A path with a final slash is also looked for without it, since most
-- frameworks serve the same there: of two prices of a kind, the one that names the path as it is spelt comes first.
-- No row: nothing names a price.
CREATE FUNCTION usage_find_price(p_endpoint text, p_method text, p_at timestamptz) RETURNS usage_price
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_kinds CONSTANT text[] := ARRAY['code', 'template', 'glob', 'any'];
    v_path text := CASE
        WHEN strpos(p_endpoint, '?') > 0 OR strpos(p_endpoint, '#') > 0
        THEN substring(p_endpoint FROM '^[^?#]*')
        ELSE p_endpoint END;
    v_price usage_price;
    v_bare usage_price;
BEGIN
    -- Most endpoints are codes: one look-up in the unique index, without reading the price book.
    SELECT * INTO v_price FROM usage_price
    WHERE endpoint = v_path AND method IN ('', p_method) AND kind = 'code' AND effective_from <= p_at
    ORDER BY method DESC, effective_from DESC LIMIT 1;
    IF FOUND THEN
        RETURN v_price;
    END IF;

    SELECT * INTO v_price FROM usage_price
    WHERE method IN ('', p_method)
        AND CASE kind
            WHEN 'code' THEN endpoint = v_path
            WHEN 'template' THEN v_path LIKE pattern AND length(v_path) - length(replace(v_path, '/', '')) = slashes
            WHEN 'glob' THEN v_path LIKE pattern
            ELSE true END
    ORDER BY
        effective_from <= p_at DESC,
        array_position(v_kinds, kind::text),
        weight DESC, endpoint, method DESC,
        CASE WHEN effective_from <= p_at THEN effective_from END DESC,
        effective_from
    LIMIT 1;

    IF v_path LIKE '/%/' THEN
        v_bare := usage_find_price(rtrim(v_path, '/'), p_method, p_at);
        IF v_price.id IS NULL OR (v_price.effective_from > p_at, array_position(v_kinds, v_price.kind::text))
            > (v_bare.effective_from > p_at, array_position(v_kinds, v_bare.kind::text)) THEN
            RETURN v_bare;
        END IF;
    END IF;
    RETURN v_price;
END $$;

-- Whether a request was refused before any work; usage/models/outcomes.py says the same. The planner writes it out.
CREATE FUNCTION usage_is_rejected(p_status integer) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_status IN (401, 402, 429)
$$;

-- What a request costs, in credits. Rejected before any work: nothing. Failed otherwise: nothing, unless its
-- price says so or the amount was given. What its price makes it cost is never less than the price's minimum, and
-- so never rounded away where there is one.
CREATE FUNCTION usage_cost(p_price usage_price, p_given numeric, p_units numeric, p_status integer)
RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN usage_is_rejected(p_status) THEN 0
        WHEN p_given IS NOT NULL THEN p_given
        WHEN p_status >= 400 AND NOT p_price.charge_failures THEN 0
        ELSE greatest(p_price.minimum, round(p_price.credits * p_units, 6))
    END
$$;

-- Take one of the calls that a key may make in this minute: NULL, or {limit, reset_at, reset_seconds} when all are
-- taken. They are counted where the key's own calls to the API are (config/http/rate_windows.py), by the database's
-- clock. The row is locked until the transaction ends, before the balance is.
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

-- Give back a call that was taken in this transaction, which has locked its row.
CREATE FUNCTION usage_return_call(p_api_key_id bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE config_ratewindow SET taken = taken - 1 WHERE subject = 'key:' || p_api_key_id
$$;

-- Pay for reported requests of one customer by one debit, log them and count them: what the available credits do not
-- cover, in the order of the rows, is logged as unpaid. The caller has locked the balance and knows that the rows are
-- new, and in the order of `n`.
CREATE FUNCTION usage_settle_reported(
    p_balance ledger_balance, p_rows usage_reported[], p_operation text, p_from text
) RETURNS usage_settled LANGUAGE plpgsql AS $$
DECLARE
    v_left numeric := CASE WHEN p_balance.frozen_at IS NULL
        THEN p_balance.balance - p_balance.reserved + p_balance.overdraft_limit ELSE 0 END;
    v_move ledger_outcome;
    v_key text;
    s usage_settled;
    i integer;
BEGIN
    s.unpaid := '{}';
    SELECT coalesce(sum(cost), 0) INTO s.credits FROM unnest(p_rows);
    IF s.credits > v_left THEN
        FOR i IN 1 .. cardinality(p_rows) LOOP
            IF p_rows[i].cost > v_left THEN
                p_rows[i].cost := 0;
                p_rows[i].unpaid := true;
                s.unpaid := array_append(s.unpaid, p_rows[i].n);
            ELSE
                v_left := v_left - p_rows[i].cost;
            END IF;
        END LOOP;
        s.credits := (SELECT sum(cost) FROM unnest(p_rows));
    END IF;

    IF s.credits > 0 THEN
        SELECT encode(sha256(string_agg(line_key, '')), 'hex') INTO v_key FROM unnest(p_rows);
        v_move := ledger_move(
            p_balance.user_id, 'debit', 'usage', -s.credits, format('%s requests from %s', cardinality(p_rows), p_from),
            p_from, jsonb_build_object('requests', cardinality(p_rows), 'source', p_from), p_operation, v_key,
            decode(v_key, 'hex'));
        IF v_move.outcome <> 'posted' THEN
            RAISE EXCEPTION 'the balance moved under its lock: %', v_move.outcome;
        END IF;
        s.entry_id := v_move.entry_id;
    END IF;

    INSERT INTO usage_requestlog (
        user_id, api_key_id, endpoint, path, method, status, units, credits, unpaid, price_id, entry_id, latency_ms,
        reference, source, occurred_at)
    SELECT p_balance.user_id, api_key_id, endpoint, path, method, status, units, cost, unpaid, price_id,
        CASE WHEN cost > 0 THEN s.entry_id END, latency_ms, reference, source, occurred_at
    FROM unnest(p_rows);

    INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
    SELECT p_balance.user_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, endpoint,
        count(*) FILTER (WHERE status < 400),
        count(*) FILTER (WHERE status >= 400 AND NOT usage_is_rejected(status)),
        count(*) FILTER (WHERE usage_is_rejected(status)),
        sum(cost)
    FROM unnest(p_rows) GROUP BY day, endpoint ORDER BY day, endpoint
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
        successful = d.successful + excluded.successful,
        failed = d.failed + excluded.failed,
        rejected = d.rejected + excluded.rejected,
        credits = d.credits + excluded.credits;

    -- Reported requests are not refused for a key's limit, but they count towards it.
    PERFORM usage_count_key_spending(p_balance.user_id, api_key_id, sum(cost), day)
    FROM (SELECT *, (occurred_at AT TIME ZONE 'UTC')::date AS day FROM unnest(p_rows)) reported
    WHERE api_key_id IS NOT NULL AND cost > 0 GROUP BY api_key_id, day;
    RETURN s;
END $$;

-- Log a batch of one customer's requests from a gateway's log, count them and, with `p_charge`, debit them: one
-- entry for the batch, and each row of the log knows it. All or nothing, and in any number of repetitions only
-- once: a line is known by its source and key (SHA-256 of text and ordinal).
-- `p_rows` is a JSON array of {n, key (hex), path, method, status, units, latency_ms, api_key_id, reference,
-- occurred_at}. What the available credits do not cover, in the order of the rows, is logged as unpaid. With
-- `p_charge`, a row that no price names is rejected and not stored, unless it is in already.
-- Each line knows whether it was recorded with `p_charge`: one that was not stays free, and a later call with
-- `p_charge` says how many of these have a price, and what they would have cost.
-- Returns {accepted, duplicates, rejected: [n …], unpaid, credits, uncharged, uncharged_credits}.
CREATE FUNCTION usage_record_lines(p_user_id bigint, p_source text, p_charge boolean, p_rows jsonb)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_all usage_reported[];
    v_rows usage_reported[];
    v_rejected integer[];
    v_balance ledger_balance;
    v_settled usage_settled;
    v_uncharged integer := 0;
    v_uncharged_credits numeric := 0;
BEGIN
    -- The balance first, so that batches of one customer follow each other and what is left is certain.
    v_balance := ledger_lock_balance(p_user_id);

    SELECT array_agg(ROW(
            line.n, decode(line.key, 'hex'), coalesce(price.endpoint, '*'), line.path, line.method, line.status,
            line.units, line.latency_ms, line.api_key_id, line.reference, line.occurred_at, price.id,
            CASE WHEN p_charge THEN usage_cost(price, NULL, line.units, line.status) ELSE 0 END, false, p_source
        )::usage_reported ORDER BY line.n) FILTER (WHERE price.id IS NOT NULL OR NOT p_charge),
        coalesce(array_agg(line.n ORDER BY line.n) FILTER (WHERE price.id IS NULL AND p_charge AND NOT EXISTS (
            SELECT FROM usage_importedline i WHERE i.source = p_source AND i.line_key = decode(line.key, 'hex'))), '{}')
    INTO v_all, v_rejected
    FROM jsonb_to_recordset(p_rows) AS line(
        n integer, key text, path text, method text, status integer, units numeric, latency_ms integer,
        api_key_id bigint, reference text, occurred_at timestamptz)
    CROSS JOIN LATERAL usage_find_price(line.path, line.method, line.occurred_at) AS price;

    WITH fresh AS (
        INSERT INTO usage_importedline (source, line_key, user_id, occurred_at, is_charged)
        SELECT p_source, line_key, p_user_id, occurred_at, p_charge FROM unnest(v_all) ORDER BY line_key
        ON CONFLICT DO NOTHING
        RETURNING line_key
    )
    SELECT array_agg(line ORDER BY line.n) INTO v_rows FROM unnest(v_all) AS line JOIN fresh USING (line_key);
    v_settled := usage_settle_reported(v_balance, v_rows, 'record_lines', p_source);

    IF p_charge AND cardinality(v_all) > coalesce(cardinality(v_rows), 0) THEN
        SELECT count(*), coalesce(sum(line.cost), 0) INTO v_uncharged, v_uncharged_credits
        FROM unnest(v_all) AS line
        JOIN usage_importedline i ON i.source = p_source AND i.line_key = line.line_key
        WHERE NOT i.is_charged AND line.cost > 0;
    END IF;

    RETURN jsonb_build_object(
        'accepted', coalesce(cardinality(v_rows), 0),
        'duplicates', jsonb_array_length(p_rows) - coalesce(cardinality(v_rows), 0) - cardinality(v_rejected),
        'rejected', to_jsonb(v_rejected),
        'unpaid', cardinality(v_settled.unpaid),
        'credits', v_settled.credits,
        'uncharged', v_uncharged,
        'uncharged_credits', v_uncharged_credits);
END $$;

-- Make the partition that holds `p_at`, unless it is there. To be called in a transaction of its own.
-- Created first and attached then, which locks the log less than CREATE … PARTITION OF would. Statement
-- triggers are not inherited by partitions: each gets its own.
CREATE FUNCTION usage_ensure_partition(p_at timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_from timestamptz := date_trunc('month', p_at, 'UTC');
    v_to timestamptz := (v_from AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    v_name text := 'usage_requestlog_' || to_char(v_from AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF p_at < '2000-01-01 00:00:00+00' OR p_at >= '2101-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'requests are kept for the years 2000 to 2100, not %', p_at
            USING ERRCODE = 'datetime_field_overflow';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('usage_ensure_partition', 0));
    IF to_regclass('public.' || v_name) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I (LIKE public.usage_requestlog INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                       v_name);
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN user_id SET (n_distinct = -0.001)', v_name);
        EXECUTE format('CREATE TRIGGER request_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()', v_name);
        EXECUTE format('ALTER TABLE public.usage_requestlog ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                       v_name, v_from, v_to);
    END IF;
    RETURN v_name;
END $$;

-- Log one request that has just been paid for (or was free, or refused) and count it, for the statistics and, where
-- that is being counted, as spent by its key. The caller has locked the customer's balance.
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
            next_credits = next_credits
                + CASE WHEN (p_at AT TIME ZONE 'UTC')::date >= next_on THEN p_credits ELSE 0 END,
            counted_on = greatest(counted_on, (p_at AT TIME ZONE 'UTC')::date)
        WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on <= (p_at AT TIME ZONE 'UTC')::date;
    END IF;
    INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
    VALUES (
        p_user_id, (p_at AT TIME ZONE 'UTC')::date, p_endpoint,
        (p_status < 400)::int,
        (p_status >= 400 AND NOT usage_is_rejected(p_status))::int,
        usage_is_rejected(p_status)::int,
        p_credits)
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
        successful = d.successful + excluded.successful,
        failed = d.failed + excluded.failed,
        rejected = d.rejected + excluded.rejected,
        credits = d.credits + excluded.credits;
END $$;

-- Drop the log of the month that begins on `p_month`, if all of it was recorded before a time. Not callable by the
-- application: it runs as the owner, in one transaction, or not at all.
--   outcome     dropped | kept (some of it is younger, or the month has not ended by then) | not_there
--   requests    how many requests it had
-- The month alone is locked while it is looked through. Then the whole log is, for an instant: a query that reads it
-- for long makes this give up after two seconds rather than hold up every charge.
CREATE FUNCTION usage_drop_month(p_month date, p_recorded_before timestamptz, OUT outcome text, OUT requests bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    v_name text := 'usage_requestlog_' || to_char(p_month, 'YYYY_MM');
    v_facts record;
BEGIN
    IF to_regclass('public.' || v_name) IS NULL THEN
        outcome := 'not_there';
        RETURN;
    END IF;
    EXECUTE format('LOCK TABLE public.%I IN SHARE MODE', v_name);
    EXECUTE format(
        'SELECT count(*) AS requests, coalesce(sum(credits), 0) AS credits, max(recorded_at) AS last_recorded_at, '
        'min(entry_id) AS first_entry_id, max(entry_id) AS last_entry_id FROM public.%I', v_name)
    INTO v_facts;
    requests := v_facts.requests;
    IF v_facts.last_recorded_at >= p_recorded_before
        OR (p_month + interval '1 month') AT TIME ZONE 'UTC' > p_recorded_before THEN
        outcome := 'kept';
        RETURN;
    END IF;
    IF requests > 0 THEN
        INSERT INTO usage_droppedmonth AS m (month, dropped_at, requests, credits, first_entry_id, last_entry_id)
        VALUES (p_month, clock_timestamp(), v_facts.requests, v_facts.credits, v_facts.first_entry_id,
                v_facts.last_entry_id)
        ON CONFLICT (month) DO UPDATE SET
            dropped_at = excluded.dropped_at,
            requests = m.requests + excluded.requests,
            credits = m.credits + excluded.credits,
            first_entry_id = least(m.first_entry_id, excluded.first_entry_id),
            last_entry_id = greatest(m.last_entry_id, excluded.last_entry_id);
    END IF;
    EXECUTE format('ALTER TABLE public.usage_requestlog DETACH PARTITION public.%I', v_name);
    EXECUTE format('DROP TABLE public.%I', v_name);
    outcome := 'dropped';
END $$;

-- Recompute the roll-ups of whole days from the log and the refunds; returns how many rows differ from what
-- stood there. The log is what happened, the roll-up only its sum. One customer, or all of them.
CREATE FUNCTION usage_rebuild_days(p_user_id bigint, p_from date, p_to date) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_changed integer;
BEGIN
    -- Each call that counts locks a row of this table; nobody counts while the sums are made anew.
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
            count(*) FILTER (WHERE status >= 400 AND NOT usage_is_rejected(status)) AS failed,
            count(*) FILTER (WHERE usage_is_rejected(status)) AS rejected,
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

-- Make the sums of whole days anew from the log, unless some of that log is gone: then the sums are all there is.
--   changed        how many rows differ from what stood there
--   months_gone    first days of the months whose log is gone; when there are any, nothing was changed
-- The lock on the log keeps its months where they are until the end, the one on the sums keeps everybody from
-- counting; in this order, which is a charge's.
CREATE FUNCTION usage_rebuild_sums(
    p_user_id bigint, p_from date, p_to date, OUT changed integer, OUT months_gone date[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    LOCK TABLE usage_requestlog IN ACCESS SHARE MODE;
    LOCK TABLE usage_dailyusage IN EXCLUSIVE MODE;
    SELECT coalesce(array_agg(gone.month ORDER BY gone.month), '{}') INTO months_gone FROM (
        SELECT m.month FROM usage_droppedmonth m
        WHERE m.month < p_to AND m.month + interval '1 month' > p_from
        UNION
        SELECT date_trunc('month', d.day)::date FROM usage_dailyusage d
        WHERE (p_user_id IS NULL OR d.user_id = p_user_id) AND d.day >= p_from AND d.day < p_to
            AND to_regclass('public.usage_requestlog_' || to_char(d.day, 'YYYY_MM')) IS NULL
    ) gone;
    changed := 0;
    IF cardinality(months_gone) = 0 THEN
        changed := usage_rebuild_days(p_user_id, p_from, p_to);
    END IF;
END $$;

CREATE TRIGGER event_key_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_eventkey
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER a_new_key_has_spent_nothing AFTER INSERT ON accounts_apikey
    FOR EACH ROW WHEN (NEW.spending_limit IS NOT NULL AND NEW.original_id IS NULL)
    EXECUTE FUNCTION usage_begin_key_spending();

CREATE TRIGGER a_limited_key_goes_on_counting AFTER INSERT ON accounts_apikey
    FOR EACH ROW WHEN (NEW.spending_limit IS NOT NULL AND NEW.original_id IS NOT NULL)
    EXECUTE FUNCTION usage_begin_key_spending();

CREATE TRIGGER a_limit_is_counted_when_it_is_set AFTER UPDATE OF spending_limit, spending_reset_day ON accounts_apikey
    FOR EACH ROW WHEN (NEW.spending_limit IS NOT NULL AND (NEW.spending_limit, NEW.spending_reset_day)
        IS DISTINCT FROM (OLD.spending_limit, OLD.spending_reset_day))
    EXECUTE FUNCTION usage_begin_key_spending();

CREATE TRIGGER refund_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_refund
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER request_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_requestlog
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER dropped_month_stays BEFORE DELETE OR TRUNCATE ON usage_droppedmonth
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
