-- Customers: whom a call means, by an id or by a key.
--
-- Promises that a key which has ended, or whose customer has, is refused, except for calls that were made before.
-- Called by the metering functions of the other files, and by usage/services/customers.py:customer_of_key
-- (usage_has_been_done). Reads only; locks nothing.

-- Who is meant by an id, or by the SHA-256 of a live key, and what may be spent by that key.
--   original_key_id    the first of the keys that rotations put in each other's place: they spend as one
--   refusal            key_invalid | customer_unknown | customer_inactive, or NULL
CREATE TYPE usage_customer AS (
    user_id bigint, api_key_id bigint, original_key_id bigint, spending_limit numeric, spending_reset_day smallint,
    refusal text, rate_limit_per_minute integer);

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
