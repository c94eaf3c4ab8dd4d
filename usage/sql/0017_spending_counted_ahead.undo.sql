DROP TRIGGER a_limited_key_goes_on_counting ON accounts_apikey;
DROP TRIGGER a_limit_is_counted_when_it_is_set ON accounts_apikey;
DROP FUNCTION usage_count_key, usage_count_key_from_log, usage_note_key_spending, usage_key_standing, usage_key_held,
    usage_spending_ends, usage_key_left, usage_key_spent, usage_count_key_spending, usage_spending_began;

-- 0011's, in place, since a trigger of that release calls it.
CREATE OR REPLACE FUNCTION usage_begin_key_spending() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    INSERT INTO usage_keyspending (user_id, api_key_id, began_on, counted_on, credits)
    VALUES (
        NEW.user_id, NEW.id, usage_spending_began(NEW.spending_reset_day, v_now), (v_now AT TIME ZONE 'UTC')::date, 0);
    RETURN NULL;
END $$;
