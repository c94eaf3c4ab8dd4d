-- Thresholds: amounts of available credits that somebody wants to know of when they are crossed.
--
-- Promises that a crossing is noted in the transaction that crosses, once until the threshold is armed again.
-- Called by ledger/services/thresholds.py:watch_available and :rearm, by auto-reload for its own threshold
-- (ledger/services/agreement/locking.py:lock_balance, docs/decisions/0033), and by the trigger of ledger_balance.
-- Locks: ledger_balance, then thresholds.

-- Note which armed thresholds a move has fallen below, and watch the next lower one. Every 1024 entries let the next
-- call look whether something expires: it settles grants on that occasion, so that no history grows longer than that.
CREATE FUNCTION ledger_note_crossing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.balance - NEW.reserved < NEW.watch_below THEN
        UPDATE ledger_threshold SET crossed_at = clock_timestamp()
        WHERE user_id = NEW.user_id AND crossed_at IS NULL AND below > NEW.balance - NEW.reserved;
        NEW.watch_below := (
            SELECT max(below) FROM ledger_threshold WHERE user_id = NEW.user_id AND crossed_at IS NULL);
    END IF;
    IF NEW.seq >> 10 <> OLD.seq >> 10 THEN
        NEW.next_expiry_at := least(NEW.next_expiry_at, clock_timestamp());
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER balance_notes_crossing BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.balance - NEW.reserved < NEW.watch_below OR NEW.seq >> 10 <> OLD.seq >> 10)
    EXECUTE FUNCTION ledger_note_crossing();

-- Watch a customer's available credits against `p_below` (more than 0 credits), under a name that each customer has
-- once; NULL ends it. A new amount begins anew: crossed at once if available is below it, else armed. The same amount
-- again changes nothing. Returns since when available is below it, NULL when it is not.
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

-- Arm again the thresholds that available credits are back at or above; returns them as they were, each one from one
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

-- Look at what a customer has, and at one of their thresholds, and lock the balance until the transaction ends. The
-- threshold is armed when available is back at it or above; the customer's others are left to those who watch them.
-- Returns since when available is below it: NULL when it is not, or when there is no such threshold.
CREATE FUNCTION ledger_look_at_threshold(
    p_user_id bigint, p_name text, OUT balance numeric, OUT available numeric, OUT frozen_at timestamptz,
    OUT crossed_at timestamptz
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
BEGIN
    balance := v_balance.balance;
    available := v_balance.balance - v_balance.reserved;
    frozen_at := v_balance.frozen_at;
    UPDATE ledger_threshold t SET crossed_at = NULL
    WHERE t.user_id = p_user_id AND t.name = p_name AND t.crossed_at IS NOT NULL
        AND t.below <= v_balance.balance - v_balance.reserved;
    IF FOUND THEN
        UPDATE ledger_balance b SET watch_below = (
            SELECT max(t.below) FROM ledger_threshold t WHERE t.user_id = p_user_id AND t.crossed_at IS NULL)
        WHERE b.user_id = p_user_id;
    END IF;
    crossed_at := (SELECT t.crossed_at FROM ledger_threshold t WHERE t.user_id = p_user_id AND t.name = p_name);
END $$;
