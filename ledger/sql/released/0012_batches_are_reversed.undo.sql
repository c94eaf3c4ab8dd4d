-- Leads back from 0012_batches_are_reversed.sql to what was before it.

DROP FUNCTION ledger_reversal_reason;

-- Why an entry cannot be reversed by staff; NULL: it can.
CREATE OR REPLACE FUNCTION ledger_why_not_reversible(e ledger_entry) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN e.reverses_id IS NOT NULL THEN 'reversal'
        WHEN e.reason IN ('usage', 'capture') AND (
            e.operation NOT IN ('charge', 'capture_hold')
            OR coalesce(e.metadata ->> 'tollbook_charge_id', e.metadata ->> 'charge_id') IS DISTINCT FROM e.id::text)
            THEN 'many_requests'
        WHEN e.reason = 'expiry' THEN 'expiry'
        WHEN e.operation = 'payment' THEN 'payment'
        WHEN e.operation = 'subscription' THEN 'subscription'
        WHEN e.operation = 'correct_drift' THEN 'drift'
    END
$$;

-- Ask for an adjustment of `p_amount` signed credits: it is posted at once, or waits for a second person. What could not
-- be posted now is refused either way. `p_reason` is overruled where an entry of usage is reversed.
CREATE OR REPLACE FUNCTION ledger_request_adjustment(
    p_user_id bigint, p_amount numeric, p_reason text, p_note text, p_reference text, p_reverses bigint,
    p_author_id bigint, p_idempotency_key text, p_fingerprint bytea, p_default_single numeric, p_default_daily numeric
) RETURNS ledger_adjustment_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    v_now timestamptz := clock_timestamp();
    v_today date := v_now AT TIME ZONE 'UTC';
    q ledger_adjustmentrequest;
    v_posted ledger_outcome;
    r ledger_adjustment_outcome;
BEGIN
    PERFORM ledger_refuse_inexact(p_amount);
    SELECT * INTO q FROM ledger_adjustmentrequest WHERE user_id = p_user_id AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN q.fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
        r.request_id := q.id;
        RETURN r;
    END IF;
    q.id := nextval('ledger_adjustmentrequest_id_seq');
    q.reason := CASE
        WHEN EXISTS (SELECT FROM ledger_entry WHERE id = p_reverses AND reason IN ('usage', 'capture')) THEN 'reversal'
        ELSE p_reason END;
    q.second_person_because := ledger_second_person_because(
        p_author_id, v_today, p_user_id = p_author_id, abs(p_amount), p_default_single, p_default_daily);
    BEGIN
        v_posted := ledger_post_adjustment(
            p_user_id, p_amount, q.reason, p_note, p_reference, p_reverses, p_author_id, q.id, q.id::text);
        IF v_posted.outcome = 'posted' AND q.second_person_because IS NOT NULL THEN
            RAISE EXCEPTION 'it could be posted, but waits' USING ERRCODE = 'TB003';
        END IF;
    EXCEPTION WHEN SQLSTATE 'TB003' THEN
        v_posted.outcome := 'pending';  -- and the entry is undone
        v_posted.entry_id := NULL;
    END;
    r := ledger_adjustment_outcome_of(v_posted, q.id);
    IF r.outcome NOT IN ('posted', 'pending') THEN
        RETURN r;
    END IF;
    INSERT INTO ledger_adjustmentrequest (
        id, user_id, amount, total, reason, note, reference, reverses_id, balance_before, author_id, idempotency_key,
        fingerprint, second_person_because, state, decided_at, entry_id, created_at)
    VALUES (
        q.id, p_user_id, p_amount, abs(p_amount), q.reason, p_note, p_reference, p_reverses, v_balance.balance,
        p_author_id, p_idempotency_key, p_fingerprint, q.second_person_because,
        CASE r.outcome WHEN 'posted' THEN 'approved' ELSE 'pending' END,
        CASE r.outcome WHEN 'posted' THEN v_now END, r.entry_id, v_now);
    IF r.outcome = 'posted' THEN
        PERFORM ledger_count_adjustment(p_author_id, v_today, abs(p_amount));
    END IF;
    RETURN r;
END $$;
