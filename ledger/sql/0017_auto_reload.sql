-- What auto-reload adds to the ledger: a look at one threshold under the balance's lock, and what stays as it was written
-- (docs/decisions/0033).

-- Look at what a customer has, and at one of their thresholds, and hold the balance until the transaction ends. The
-- threshold is armed when available is back at it or above; the customer's others are left to those who watch them.
-- Answers since when available is below it: NULL when it is not, or when there is no such threshold.
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

-- Auto-reload that is off goes on by its customer's consent alone, given after the one before.
CREATE TRIGGER reload_goes_on_by_consent BEFORE UPDATE ON ledger_autoreload
    FOR EACH ROW
    WHEN ((NEW.enabled AND NOT OLD.enabled AND NEW.consented_at <= OLD.consented_at) OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER reload_stays BEFORE DELETE OR TRUNCATE ON ledger_autoreload
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER reload_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_autoreloadevent
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_keeps_its_kind BEFORE UPDATE ON ledger_payment
    FOR EACH ROW WHEN (NEW.kind <> OLD.kind) EXECUTE FUNCTION ledger_refuse_change();
