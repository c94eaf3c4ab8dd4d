-- Refunds: what a request cost is given back, wholly or in part, by a call or by staff who reverse its debit.
--
-- Promises that no more is given back than was paid, whatever became of the log.
-- Called by usage/services/charges/refunds.py:refund_charge; by a trigger of ledger_adjustmentrequest.
-- Locks: ledger_balance, under which the key is looked up, then what was given back; then the sums of the day.

CREATE TRIGGER refund_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_refund
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Lower the statistics of a request's day, and the count of its key, by what an entry gave back of its debit.
CREATE FUNCTION usage_note_refund(p_entry_id bigint, p_debit ledger_entry) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_refund (entry_id, user_id, charge_id, endpoint, credits, occurred_at)
    SELECT p_entry_id, p_debit.user_id, p_debit.id, p_debit.description, amount, p_debit.created_at
    FROM ledger_entry WHERE id = p_entry_id;
    UPDATE usage_dailyusage d SET credits = d.credits - f.credits
    FROM usage_refund f
    WHERE f.entry_id = p_entry_id AND d.user_id = f.user_id AND d.endpoint = f.endpoint
        AND d.day = (f.occurred_at AT TIME ZONE 'UTC')::date;
    PERFORM usage_count_key_spending(
        l.user_id, l.api_key_id, -f.credits, (l.occurred_at AT TIME ZONE 'UTC')::date)
    FROM usage_refund f JOIN usage_requestlog l ON l.id = f.charge_id AND l.occurred_at = f.occurred_at
    WHERE f.entry_id = p_entry_id AND l.api_key_id IS NOT NULL;
END $$;

-- What staff give back of a request's debit (ledger/sql/current/adjustments.sql) lowers its statistics as a refund does.
CREATE FUNCTION usage_note_reversal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_debit ledger_entry;
BEGIN
    SELECT * INTO v_debit FROM ledger_entry WHERE id = NEW.reverses_id;
    PERFORM usage_note_refund(NEW.entry_id, v_debit);
    RETURN NULL;
END $$;

CREATE TRIGGER reversal_lowers_the_statistics AFTER INSERT OR UPDATE OF entry_id ON ledger_adjustmentrequest
    FOR EACH ROW WHEN (NEW.reason = 'reversal' AND NEW.entry_id IS NOT NULL)
    EXECUTE FUNCTION usage_note_reversal();

-- Give back what a charge or a capture cost, wholly or in part, and lower the statistics of its day by as much.
--   outcome      posted | replayed | key_reused | refund_exceeds_charge | not_found
--   available    with refund_exceeds_charge: what is left to give back
-- A paid charge has the id of its entry. The metadata say so too, and distinguish it from older ones, whose ids were
-- others.
CREATE FUNCTION usage_refund(
    p_charge_id bigint, p_user_id bigint, p_credits numeric, p_description text, p_idempotency_key text,
    p_fingerprint bytea
) RETURNS ledger_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_debit ledger_entry;
    r ledger_outcome;
BEGIN
    SELECT * INTO v_debit FROM ledger_entry
    WHERE id = p_charge_id AND operation IN ('charge', 'capture_hold') AND (p_user_id IS NULL OR user_id = p_user_id)
        AND coalesce(metadata ->> 'tollbook_charge_id', metadata ->> 'charge_id') = id::text;
    IF NOT FOUND THEN
        -- A charge that cost nothing is in the log alone.
        r.outcome := CASE WHEN EXISTS (
            SELECT FROM usage_requestlog
            WHERE id = p_charge_id AND entry_id IS NULL AND source = '' AND status <> 402
                AND (p_user_id IS NULL OR user_id = p_user_id)
        ) THEN 'refund_exceeds_charge' ELSE 'not_found' END;
        r.available := 0;
        RETURN r;
    END IF;
    r := ledger_refund(v_debit, p_credits, p_description, p_idempotency_key, p_fingerprint);
    IF r.outcome = 'posted' THEN
        PERFORM usage_note_refund(r.entry_id, v_debit);
    END IF;
    RETURN r;
END $$;
