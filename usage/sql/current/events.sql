-- Events: requests that already happened, reported by programs.
--
-- Promises that an event is recorded once, by its source and id.
-- Called by usage/services/events.py:_recorded. Locks: ledger_balance, then the events; then the sums of the days.

CREATE TRIGGER event_key_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_eventkey
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

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
