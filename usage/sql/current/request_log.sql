-- Request log: one row for each request, in partitions by month, append-only on every one.
--
-- Promises that a request is logged and counted in one transaction with the debit that pays for it.
-- Called by usage/services/partitions.py:ensure_partition; usage_log_request by the metering functions.
-- Locks: the sums of the customer's day (usage_dailyusage), after the balance.

CREATE TRIGGER request_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_requestlog
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

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
