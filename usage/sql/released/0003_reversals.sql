-- What migration 0003_reversals of usage runs: written by freeze_sql from sql/current/, never edited.

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

-- Count from the log what was spent by a key in the running period, unless that is being counted.
-- The log may be long: it is read without any lock, and then, with the balance locked, only what was paid meanwhile is
-- added. Each call that adds locks the balance: an earlier one is in the one or the other, a later one finds the count,
-- once this transaction has ended.
CREATE OR REPLACE FUNCTION usage_count_key_from_log(p_user_id bigint, p_original_key_id bigint, p_reset_day integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_began_on date := usage_spending_began(p_reset_day, v_at);
    v_began_at timestamptz := v_began_on::timestamp AT TIME ZONE 'UTC';
    v_next_on date := usage_spending_ends(p_reset_day, v_began_on);
    v_seq bigint;
    v_now_seq bigint;
    v_spent numeric;
    v_paid_meanwhile bigint[];
BEGIN
    PERFORM FROM usage_keyspending
    WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on = v_began_on;
    IF FOUND THEN
        RETURN;
    END IF;
    -- One statement, one snapshot: what it finds in the log was paid by the entries up to this seq, and by none else.
    SELECT coalesce((SELECT seq FROM ledger_balance WHERE user_id = p_user_id), 0),
        usage_key_spent(p_user_id, p_original_key_id, v_began_on)
    INTO v_seq, v_spent;

    SELECT seq INTO v_now_seq FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        v_now_seq := (ledger_lock_balance(p_user_id)).seq;
    END IF;
    IF v_now_seq > v_seq THEN
        SELECT array_agg(id ORDER BY id) INTO v_paid_meanwhile FROM ledger_entry
        WHERE user_id = p_user_id AND seq > v_seq AND reason IN ('usage', 'capture');
        -- A row of the log has the id of the entry that paid for it, or, one of a batch, a later one.
        v_spent := v_spent + coalesce((
            SELECT sum(r.credits) FROM usage_requestlog r
            JOIN accounts_apikey k ON k.id = r.api_key_id AND coalesce(k.original_id, k.id) = p_original_key_id
            WHERE r.user_id = p_user_id AND r.occurred_at >= v_began_at AND r.id >= v_paid_meanwhile[1]
                AND r.entry_id = ANY(v_paid_meanwhile)), 0) - coalesce((
            SELECT sum(f.credits) FROM ledger_entry e
            JOIN usage_refund f ON f.entry_id = e.id
            JOIN usage_requestlog r ON r.id = f.charge_id AND r.occurred_at = f.occurred_at
            JOIN accounts_apikey k ON k.id = r.api_key_id AND coalesce(k.original_id, k.id) = p_original_key_id
            WHERE e.user_id = p_user_id AND e.seq > v_seq AND e.reason IN ('refund', 'reversal')
                AND f.occurred_at >= v_began_at), 0);
    END IF;
    PERFORM usage_note_key_spending(
        p_user_id, p_original_key_id, p_reset_day, v_began_on, v_spent,
        usage_key_spent_in_log(p_user_id, p_original_key_id, v_next_on), v_at);
END $$;

-- Give back what a charge or a capture cost, wholly or in part, and lower the statistics of its day by as much.
--   outcome      posted | replayed | key_reused | refund_exceeds_charge | not_found
--   available    with refund_exceeds_charge: what is left to give back
-- A paid charge has the id of its entry. The metadata say so too, and distinguish it from older ones, whose ids were
-- others.
CREATE OR REPLACE FUNCTION usage_refund(
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

CREATE TRIGGER reversal_lowers_the_statistics AFTER INSERT OR UPDATE OF entry_id ON ledger_adjustmentrequest
    FOR EACH ROW WHEN (NEW.reason = 'reversal' AND NEW.entry_id IS NOT NULL)
    EXECUTE FUNCTION usage_note_reversal();
