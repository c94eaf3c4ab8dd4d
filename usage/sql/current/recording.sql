-- Recording: requests that already happened, from a gateway's log.
--
-- Promises that a line is recorded once, however often it is reported, and debited as far as credits are there.
-- Called by usage/services/imports/recording.py:record_lines; usage_settle_reported also by usage_record_events
-- (events.sql).
-- Locks: ledger_balance, then the lines; then the sums of the days.

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
