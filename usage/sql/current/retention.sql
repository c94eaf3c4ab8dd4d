-- Retention: whole months of the request log are dropped; the sums of their days stay.
--
-- Promises that sums are made anew only from a log that is complete.
-- Called by usage/services/retention.py:_drop_month and usage/services/reconciliation.py:rebuild_sums.
-- Locks: usage_requestlog, then usage_dailyusage, in the order of a charge.

CREATE TRIGGER dropped_month_stays BEFORE DELETE OR TRUNCATE ON usage_droppedmonth
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

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
