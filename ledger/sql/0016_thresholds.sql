-- Thresholds: whoever moves available credits below one notes it in the same transaction (docs/decisions/0032).
--
-- `ledger_balance.watch_below` is the highest threshold of the customer that is armed, so a move compares two numbers,
-- and only the one that falls below it looks at the thresholds themselves.

-- Note which armed thresholds a move has fallen below, and watch the next lower one.
CREATE FUNCTION ledger_note_crossing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_threshold SET crossed_at = clock_timestamp()
    WHERE user_id = NEW.user_id AND crossed_at IS NULL AND below > NEW.balance - NEW.reserved;
    NEW.watch_below := (
        SELECT max(below) FROM ledger_threshold WHERE user_id = NEW.user_id AND crossed_at IS NULL);
    RETURN NEW;
END $$;

CREATE TRIGGER balance_notes_crossing BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.balance - NEW.reserved < NEW.watch_below)
    EXECUTE FUNCTION ledger_note_crossing();

-- Watch a customer's available credits against `p_below` (more than 0 credits), under a name that each customer has
-- once; NULL ends it. A new amount begins anew: crossed at once if available is below it, else armed. The same amount
-- again changes nothing. Answers since when available is below it, NULL when it is not.
CREATE FUNCTION ledger_watch(p_user_id bigint, p_name text, p_below numeric) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    v_crossed_at timestamptz;
BEGIN
    PERFORM ledger_refuse_inexact(p_below);
    IF p_below IS NULL THEN
        DELETE FROM ledger_threshold WHERE user_id = p_user_id AND name = p_name;
    ELSE
        INSERT INTO ledger_threshold AS t (user_id, name, below, crossed_at)
        VALUES (
            p_user_id, p_name, p_below,
            CASE WHEN v_balance.balance - v_balance.reserved < p_below THEN clock_timestamp() END)
        ON CONFLICT (user_id, name) DO UPDATE SET below = excluded.below, crossed_at = excluded.crossed_at
        WHERE t.below <> excluded.below;
        v_crossed_at := (SELECT crossed_at FROM ledger_threshold WHERE user_id = p_user_id AND name = p_name);
    END IF;
    UPDATE ledger_balance SET watch_below = (
        SELECT max(below) FROM ledger_threshold WHERE user_id = p_user_id AND crossed_at IS NULL)
    WHERE user_id = p_user_id;
    RETURN v_crossed_at;
END $$;

-- Arm again the thresholds that available credits are back at or above; answers them as they were, each one from one
-- call only.
CREATE FUNCTION ledger_rearm(p_user_id bigint) RETURNS TABLE (name text, below numeric, crossed_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
BEGIN
    RETURN QUERY
        UPDATE ledger_threshold t SET crossed_at = NULL FROM ledger_threshold was
        WHERE t.user_id = p_user_id AND t.crossed_at IS NOT NULL AND was.id = t.id
            AND t.below <= v_balance.balance - v_balance.reserved
        RETURNING was.name::text, was.below, was.crossed_at;
    IF FOUND THEN
        UPDATE ledger_balance SET watch_below = (
            SELECT max(t.below) FROM ledger_threshold t WHERE t.user_id = p_user_id AND t.crossed_at IS NULL)
        WHERE user_id = p_user_id;
    END IF;
END $$;
