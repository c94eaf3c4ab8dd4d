-- Rate limits: how many calls a minute may come in by a key.
--
-- Promises that one more call than the limit is refused in the same minute, whatever number of servers asks.
-- Called by usage_charge and usage_open_hold. Locks: the key's row of config_ratewindow, after the customer was found
-- and before the balance is locked.

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
