-- Many requests at once: charges of one hot account together, and events that report what already happened.

-- If this release was taken back and comes again, what was taken before is known still.
DO $$
BEGIN
    IF to_regclass('public.usage_eventkey_kept') IS NOT NULL THEN
        INSERT INTO usage_eventkey (user_id, event_key, recorded_at)
        SELECT user_id, event_key, recorded_at FROM usage_eventkey_kept;
        DROP TABLE usage_eventkey_kept;
    END IF;
END $$;

CREATE TRIGGER event_key_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_eventkey
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

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
    move ledger_outcome
);

-- Charge requests of one customer together, each as usage_charge would have in this order: its own outcome, entry, row
-- in the log and idempotency. One transaction, one move of the balance: on a hot account the row is waited for once
-- instead of once a request.
-- `p_items` is a JSON array of {key, fingerprint (hex), endpoint, method, status, units, credits, latency_ms, reference,
-- metadata, request_id}, no key twice. Answers one row for each, in the same order. What usage_charge would raise an
-- error for fails the whole batch.
CREATE FUNCTION usage_charge_batch(p_user_id bigint, p_key_hash bytea, p_items jsonb)
RETURNS SETOF usage_charge_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_customer usage_customer := usage_find_customer(p_user_id, p_key_hash);
    v_now timestamptz;
    v_balance ledger_balance;
    v_rows usage_batch_row[];
    v_debits ledger_debit[];
    v_moves ledger_outcome[];
    v_is_limited boolean;
BEGIN
    IF v_customer.refusal IS NOT NULL THEN
        RETURN QUERY SELECT v_customer.refusal, NULL::bigint, NULL::bigint, NULL::numeric, NULL::bigint, NULL::numeric,
            NULL::numeric, NULL::numeric, NULL::text, NULL::timestamptz, NULL::uuid FROM jsonb_array_elements(p_items);
        RETURN;
    END IF;
    -- In one order, so that two batches that share keys cannot wait for each other.
    PERFORM pg_advisory_xact_lock(place) FROM (
        SELECT hashtextextended(item ->> 'key', v_customer.user_id) AS place
        FROM jsonb_array_elements(p_items) AS item ORDER BY place OFFSET 0
    ) places;
    v_balance := ledger_lock_used_balance(v_customer.user_id);
    v_now := clock_timestamp();

    WITH item AS MATERIALIZED (
        SELECT *, nextval('ledger_entry_id_seq') AS id FROM ROWS FROM (jsonb_to_recordset(p_items) AS (
            key text, fingerprint text, endpoint text, method text, status integer, units numeric, credits numeric,
            latency_ms integer, reference text, metadata jsonb, request_id uuid)) WITH ORDINALITY
    ), priced AS MATERIALIZED (
        SELECT endpoint, method, usage_find_price(endpoint, method, v_now) AS price
        FROM (SELECT DISTINCT endpoint, method FROM item) asked
    )
    SELECT array_agg(ROW(
            i.ordinality, i.id, i.key, decode(i.fingerprint, 'hex'), i.endpoint, i.method, i.status, i.units,
            i.latency_ms, i.reference, i.metadata, i.request_id, coalesce((p.price).endpoint, '*'), (p.price).id,
            cost, cost,
            CASE WHEN done.fingerprint = decode(i.fingerprint, 'hex') THEN 'replayed'
                WHEN done.fingerprint IS NOT NULL THEN 'key_reused'
                WHEN (p.price).id IS NULL AND i.credits IS NULL THEN 'price_unknown' END,
            done.entry_id, NULL)::usage_batch_row ORDER BY i.ordinality)
    INTO v_rows
    FROM item i
    JOIN priced p ON p.endpoint = i.endpoint AND p.method = i.method
    CROSS JOIN LATERAL usage_cost(p.price, i.credits, i.units, i.status) AS cost
    LEFT JOIN LATERAL (
        SELECT e.id AS entry_id, e.fingerprint FROM ledger_entry e
        WHERE e.user_id = v_customer.user_id AND e.operation = 'charge' AND e.idempotency_key = i.key
        UNION ALL
        SELECT NULL, o.fingerprint FROM ledger_operationkey o
        WHERE o.user_id = v_customer.user_id AND o.operation = 'charge' AND o.idempotency_key = i.key
        OFFSET 0  -- two look-ups for each key, whatever the planner expects
    ) done ON true;

    SELECT array_agg(CASE WHEN w.refusal IS NULL THEN ROW(
            w.id, w.cost, w.endpoint, coalesce(w.reference, w.request_id::text),
            w.metadata || jsonb_build_object('charge_id', w.id, 'request_id', w.request_id), w.idempotency_key,
            w.fingerprint)::ledger_debit END ORDER BY w.n),
        v_customer.spending_limit IS NOT NULL AND bool_or(w.refusal IS NULL AND w.cost > 0)
    INTO v_debits, v_is_limited FROM unnest(v_rows) AS w;
    v_moves := ledger_debit_batch(
        v_balance, 'charge', v_debits, CASE WHEN v_is_limited THEN usage_key_left(v_customer, v_now) END);
    FOR i IN 1 .. cardinality(v_rows) LOOP
        v_rows[i].move := v_moves[i];
        IF v_moves[i].outcome = 'insufficient' THEN
            v_rows[i].status := 402;
            v_rows[i].paid := 0;
        END IF;
    END LOOP;

    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id, result)
    SELECT v_customer.user_id, 'charge', idempotency_key, fingerprint, id,
        jsonb_build_object('request_id', request_id, 'balance_after', (move).balance::text)
    FROM unnest(v_rows) WHERE refusal IS NULL AND cost = 0 ORDER BY n;

    -- Each request with its debit, if it asked for one: the refused ones are logged as rejected.
    INSERT INTO usage_requestlog (
        id, user_id, api_key_id, endpoint, path, method, status, units, credits, price_id, entry_id, latency_ms,
        request_id, reference, metadata, source, occurred_at)
    SELECT id, v_customer.user_id, v_customer.api_key_id, endpoint, path, method, status, units, paid, price_id,
        (move).entry_id, latency_ms, request_id, reference, metadata, '', (move).created_at
    FROM unnest(v_rows) WHERE refusal IS NULL ORDER BY n;
    INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
    SELECT v_customer.user_id, ((move).created_at AT TIME ZONE 'UTC')::date AS day, endpoint,
        count(*) FILTER (WHERE status < 400),
        count(*) FILTER (WHERE status >= 400 AND status NOT IN (401, 402, 429)),
        count(*) FILTER (WHERE status IN (401, 402, 429)),
        sum(paid)
    FROM unnest(v_rows) WHERE refusal IS NULL GROUP BY day, endpoint ORDER BY day, endpoint
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
        successful = d.successful + excluded.successful,
        failed = d.failed + excluded.failed,
        rejected = d.rejected + excluded.rejected,
        credits = d.credits + excluded.credits;
    IF v_customer.api_key_id IS NOT NULL THEN
        PERFORM usage_count_key_spending(v_customer.user_id, v_customer.api_key_id, spent, day)
        FROM (
            SELECT sum(paid) AS spent, max((move).created_at AT TIME ZONE 'UTC')::date AS day
            FROM unnest(v_rows) WHERE refusal IS NULL
        ) paid WHERE spent > 0;
    END IF;

    RETURN QUERY SELECT
        CASE WHEN refusal IS NOT NULL THEN refusal
            WHEN (move).outcome = 'insufficient' THEN 'insufficient' ELSE 'charged' END,
        CASE WHEN refusal IS NULL THEN id END, v_customer.user_id, CASE WHEN refusal IS NULL THEN cost END,
        coalesce((move).entry_id, done_entry_id), (move).balance, (move).reserved, (move).available, (move).reason,
        (move).next_hold_expires_at, CASE WHEN refusal IS NULL THEN request_id END
    FROM unnest(v_rows) ORDER BY n;
END $$;

-- Pay for reported requests of one customer by one debit, log them and count them: what the available credits do not
-- cover, in the order of the rows, is logged as unpaid. The caller holds the balance and knows that the rows are new,
-- and in the order of `n`.
CREATE TYPE usage_settled AS (credits numeric, entry_id bigint, unpaid integer[]);

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
        count(*) FILTER (WHERE status >= 400 AND status NOT IN (401, 402, 429)),
        count(*) FILTER (WHERE status IN (401, 402, 429)),
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

ALTER TYPE usage_reported ADD ATTRIBUTE source text;

-- Log a batch of one customer's requests from a gateway's log, count them and, with `p_charge`, debit them: one
-- entry for the batch, and each row of the log knows it. All or nothing, and in any number of repetitions only
-- once: a line is known by its source and key (SHA-256 of text and ordinal).
-- `p_rows` is a JSON array of {n, key (hex), path, method, status, units, latency_ms, api_key_id, reference,
-- occurred_at}. What the available credits do not cover, in the order of the rows, is logged as unpaid. With
-- `p_charge`, a row that no price names is rejected and not stored, unless it is in already.
-- Answers {accepted, duplicates, rejected: [n …], unpaid, credits}.
CREATE OR REPLACE FUNCTION usage_record_lines(p_user_id bigint, p_source text, p_charge boolean, p_rows jsonb)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_rows usage_reported[];
    v_rejected integer[];
    v_balance ledger_balance;
    v_settled usage_settled;
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
    INTO v_rows, v_rejected
    FROM jsonb_to_recordset(p_rows) AS line(
        n integer, key text, path text, method text, status integer, units numeric, latency_ms integer,
        api_key_id bigint, reference text, occurred_at timestamptz)
    CROSS JOIN LATERAL usage_find_price(line.path, line.method, line.occurred_at) AS price;

    WITH fresh AS (
        INSERT INTO usage_importedline (source, line_key, user_id, occurred_at)
        SELECT p_source, line_key, p_user_id, occurred_at FROM unnest(v_rows) ORDER BY line_key
        ON CONFLICT DO NOTHING
        RETURNING line_key
    )
    SELECT array_agg(line ORDER BY line.n) INTO v_rows FROM unnest(v_rows) AS line JOIN fresh USING (line_key);
    v_settled := usage_settle_reported(v_balance, v_rows, 'record_lines', p_source);

    RETURN jsonb_build_object(
        'accepted', coalesce(cardinality(v_rows), 0),
        'duplicates', jsonb_array_length(p_rows) - coalesce(cardinality(v_rows), 0) - cardinality(v_rejected),
        'rejected', to_jsonb(v_rejected),
        'unpaid', cardinality(v_settled.unpaid),
        'credits', v_settled.credits);
END $$;

-- Log, price, debit and count events of one customer: requests that already happened, each known by its key (SHA-256 of
-- source and id) for ever. One debit for the batch; each row of the log knows it. All or nothing, and in any number of
-- repetitions only once.
-- The events come as columns, since that is what is written and read soonest; keys in hexadecimal. Answers their places
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
