-- Customers named by their keys, and how much may be spent by such a key.

-- Who is meant by an id, or by the SHA-256 of a live key, and what may be spent by that key.
--   original_key_id    the first of the keys that rotations put in each other's place: they spend as one
--   refusal            key_invalid | customer_unknown | customer_inactive, or NULL
CREATE TYPE usage_customer AS (
    user_id bigint, api_key_id bigint, original_key_id bigint, spending_limit numeric, spending_reset_day smallint,
    refusal text);

CREATE FUNCTION usage_find_customer(p_user_id bigint, p_key_hash bytea) RETURNS usage_customer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    c usage_customer;
    v_active boolean;
BEGIN
    IF p_key_hash IS NULL THEN
        c.user_id := p_user_id;
    ELSE
        SELECT user_id, id, coalesce(original_id, id), spending_limit, spending_reset_day
        INTO c.user_id, c.api_key_id, c.original_key_id, c.spending_limit, c.spending_reset_day FROM accounts_apikey
        WHERE key_hash = p_key_hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp());
    END IF;
    SELECT is_active INTO v_active FROM accounts_user WHERE id = c.user_id;
    IF v_active IS NOT TRUE THEN
        c.refusal := CASE WHEN p_key_hash IS NOT NULL THEN 'key_invalid'
            WHEN v_active IS NULL THEN 'customer_unknown' ELSE 'customer_inactive' END;
    END IF;
    RETURN c;
END $$;

-- The UTC day on which the running count of a key's spending began.
CREATE FUNCTION usage_spending_began(p_reset_day integer, p_at timestamptz) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT max(day) FROM (
        SELECT (month + make_interval(days => least(
            p_reset_day, extract(day FROM month + interval '1 month - 1 day')::integer) - 1))::date AS day
        FROM generate_series(
            date_trunc('month', p_at AT TIME ZONE 'UTC') - interval '1 month',
            date_trunc('month', p_at AT TIME ZONE 'UTC'), interval '1 month') AS month
    ) resets WHERE day <= (p_at AT TIME ZONE 'UTC')::date
$$;

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

-- The same at once where it is being counted. A count of earlier days that nothing was added to since is nothing, too.
CREATE FUNCTION usage_key_spent(p_user_id bigint, p_original_key_id bigint, p_began_on date) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT credits FROM usage_keyspending
         WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on = p_began_on),
        (SELECT 0 FROM usage_keyspending
         WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on < p_began_on
             AND counted_on < p_began_on LIMIT 1),
        usage_key_spent_in_log(p_user_id, p_original_key_id, p_began_on))
$$;

-- How much may still be spent by a key: its limit less what was spent since the count began, and what it holds.
-- The first look begins the count, if need be from the log; from then on every debit is added, whether or not its key
-- has a limit at that moment. The caller holds the customer's balance, as does whoever adds: so of many requests at once
-- none is let through on an old count.
CREATE FUNCTION usage_key_left(p_customer usage_customer, p_at timestamptz) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_began date := usage_spending_began(p_customer.spending_reset_day, p_at);
    v_spent numeric;
BEGIN
    SELECT credits INTO v_spent FROM usage_keyspending
    WHERE user_id = p_customer.user_id AND api_key_id = p_customer.original_key_id AND began_on = v_began;
    IF NOT FOUND THEN
        v_spent := usage_key_spent(p_customer.user_id, p_customer.original_key_id, v_began);
        DELETE FROM usage_keyspending
        WHERE user_id = p_customer.user_id AND api_key_id = p_customer.original_key_id AND began_on < v_began;
        -- Some of it may have been reported minutes ahead of its time.
        INSERT INTO usage_keyspending (user_id, api_key_id, began_on, counted_on, credits)
        VALUES (
            p_customer.user_id, p_customer.original_key_id, v_began, (p_at AT TIME ZONE 'UTC')::date + 1, v_spent);
    END IF;
    RETURN p_customer.spending_limit - v_spent - coalesce((
        SELECT sum(credits - captured) FROM ledger_hold
        WHERE user_id = p_customer.user_id AND status = 'open' AND api_key_id = ANY(ARRAY(
            SELECT id FROM accounts_apikey
            WHERE user_id = p_customer.user_id AND coalesce(original_id, id) = p_customer.original_key_id))), 0);
END $$;

-- Add to what was spent by a key (or take from it, for a refund), wherever that is being counted: `p_day` (UTC) is the
-- day of the request. The caller holds the customer's balance.
CREATE FUNCTION usage_count_key_spending(p_user_id bigint, p_api_key_id bigint, p_credits numeric, p_day date)
RETURNS void LANGUAGE sql AS $$
    UPDATE usage_keyspending s SET credits = s.credits + p_credits, counted_on = greatest(s.counted_on, p_day)
    FROM accounts_apikey k
    WHERE k.id = p_api_key_id AND s.user_id = p_user_id AND s.api_key_id = coalesce(k.original_id, k.id)
        AND s.began_on <= p_day
$$;

-- A new key has spent nothing: that is known without a look at the log, which may be long.
CREATE FUNCTION usage_begin_key_spending() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    INSERT INTO usage_keyspending (user_id, api_key_id, began_on, counted_on, credits)
    VALUES (
        NEW.user_id, NEW.id, usage_spending_began(NEW.spending_reset_day, v_now), (v_now AT TIME ZONE 'UTC')::date, 0);
    RETURN NULL;
END $$;
CREATE TRIGGER a_new_key_has_spent_nothing AFTER INSERT ON accounts_apikey
    FOR EACH ROW WHEN (NEW.spending_limit IS NOT NULL AND NEW.original_id IS NULL)
    EXECUTE FUNCTION usage_begin_key_spending();

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
