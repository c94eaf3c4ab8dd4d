-- Requests that already happened, reported in batches.

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
    unpaid boolean
);

-- Log a batch of one customer's requests from a gateway's log, count them and, with `p_charge`, debit them: one
-- entry for the batch, and each row of the log knows it. All or nothing, and in any number of repetitions only
-- once: a line is known by its source and key (SHA-256 of text and ordinal).
-- `p_rows` is a JSON array of {n, key (hex), path, method, status, units, latency_ms, api_key_id, reference,
-- occurred_at}. What the available credits do not cover, in the order of the rows, is logged as unpaid. With
-- `p_charge`, a row that no price names is rejected and not stored, unless it is in already.
-- Answers {accepted, duplicates, rejected: [n …], unpaid, credits}.
CREATE FUNCTION usage_record_lines(p_user_id bigint, p_source text, p_charge boolean, p_rows jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_rows usage_reported[];
    v_rejected integer[];
    v_total numeric;
    v_left numeric;
    v_balance ledger_balance;
    v_move ledger_outcome;
    v_key text;
    v_unpaid integer := 0;
    i integer;
BEGIN
    -- The balance first, so that batches of one customer follow each other and what is left is certain.
    v_balance := ledger_lock_balance(p_user_id);
    v_left := CASE WHEN v_balance.frozen_at IS NULL
        THEN v_balance.balance - v_balance.reserved + v_balance.overdraft_limit ELSE 0 END;

    SELECT array_agg(ROW(
            line.n, decode(line.key, 'hex'), coalesce(price.endpoint, '*'), line.path, line.method, line.status,
            line.units, line.latency_ms, line.api_key_id, line.reference, line.occurred_at, price.id,
            CASE WHEN p_charge THEN usage_cost(price, NULL, line.units, line.status) ELSE 0 END, false
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
    SELECT array_agg(line ORDER BY line.n), sum(line.cost) INTO v_rows, v_total
    FROM unnest(v_rows) AS line JOIN fresh USING (line_key);

    IF v_total > v_left THEN
        FOR i IN 1 .. cardinality(v_rows) LOOP
            IF v_rows[i].cost > v_left THEN
                v_rows[i].cost := 0;
                v_rows[i].unpaid := true;
                v_unpaid := v_unpaid + 1;
            ELSE
                v_left := v_left - v_rows[i].cost;
            END IF;
        END LOOP;
        v_total := (SELECT sum(cost) FROM unnest(v_rows));
    END IF;

    IF v_total > 0 THEN
        SELECT encode(sha256(string_agg(line_key, '' ORDER BY n)), 'hex') INTO v_key FROM unnest(v_rows);
        v_move := ledger_move(
            p_user_id, 'debit', 'usage', -v_total, format('%s requests from %s', cardinality(v_rows), p_source),
            p_source, jsonb_build_object('requests', cardinality(v_rows), 'source', p_source),
            'record_lines', v_key, decode(v_key, 'hex'));
        IF v_move.outcome <> 'posted' THEN
            RAISE EXCEPTION 'the balance moved under its lock: %', v_move.outcome;
        END IF;
    END IF;

    INSERT INTO usage_requestlog (
        user_id, api_key_id, endpoint, path, method, status, units, credits, unpaid, price_id, entry_id, latency_ms,
        reference, source, occurred_at)
    SELECT p_user_id, api_key_id, endpoint, path, method, status, units, cost, unpaid, price_id,
        CASE WHEN cost > 0 THEN v_move.entry_id END, latency_ms, reference, p_source, occurred_at
    FROM unnest(v_rows) ORDER BY n;

    INSERT INTO usage_dailyusage AS d (user_id, day, endpoint, successful, failed, rejected, credits)
    SELECT p_user_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, endpoint,
        count(*) FILTER (WHERE status < 400),
        count(*) FILTER (WHERE status >= 400 AND status NOT IN (401, 402, 429)),
        count(*) FILTER (WHERE status IN (401, 402, 429)),
        sum(cost)
    FROM unnest(v_rows) GROUP BY day, endpoint ORDER BY day, endpoint
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET
        successful = d.successful + excluded.successful,
        failed = d.failed + excluded.failed,
        rejected = d.rejected + excluded.rejected,
        credits = d.credits + excluded.credits;

    RETURN jsonb_build_object(
        'accepted', coalesce(cardinality(v_rows), 0),
        'duplicates', jsonb_array_length(p_rows) - coalesce(cardinality(v_rows), 0) - cardinality(v_rejected),
        'rejected', to_jsonb(v_rejected),
        'unpaid', v_unpaid,
        'credits', coalesce(v_total, 0));
END $$;

-- Recompute the roll-ups of whole days from the log; answers how many rows differ from what stood there.
-- The log is what happened, the roll-up only its sum. One customer, or all of them.
CREATE FUNCTION usage_rebuild_days(p_user_id bigint, p_from date, p_to date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_changed integer;
BEGIN
    -- Whoever counts holds a row of this table; nobody counts while the sums are made anew.
    LOCK TABLE usage_dailyusage IN EXCLUSIVE MODE;
    WITH truth AS (
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
