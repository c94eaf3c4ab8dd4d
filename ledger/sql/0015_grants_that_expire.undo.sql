DROP FUNCTION ledger_open_grant, ledger_settle_grants;
-- What stood in 0003 and 0011.
CREATE OR REPLACE FUNCTION ledger_settle_expired(p_user_id bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_settled integer;
    v_freed numeric;
    v_latest timestamptz;
BEGIN
    WITH gone AS (
        UPDATE ledger_hold SET status = 'expired', settled_at = expires_at
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= v_now
        RETURNING credits - captured AS freed, expires_at
    )
    SELECT count(*), coalesce(sum(freed), 0), max(expires_at) INTO v_settled, v_freed, v_latest FROM gone;

    UPDATE ledger_balance SET
        reserved = reserved - v_freed,
        next_expiry_at = coalesce(
            (SELECT min(h.expires_at) FROM ledger_hold h WHERE h.user_id = p_user_id AND h.status = 'open'),
            '9999-12-31 00:00:00+00'),
        updated_at = greatest(updated_at, v_latest)
    WHERE user_id = p_user_id;
    RETURN v_settled;
END $$;

CREATE OR REPLACE FUNCTION ledger_refusal(p_balance ledger_balance, p_credits numeric) RETURNS ledger_outcome
LANGUAGE plpgsql AS $$
DECLARE
    r ledger_outcome;
BEGIN
    r.outcome := 'insufficient';
    r.balance := p_balance.balance;
    r.reserved := p_balance.reserved;
    r.available := p_balance.balance - p_balance.reserved;
    r.reason := CASE
        WHEN p_balance.frozen_at IS NOT NULL THEN 'frozen'
        WHEN p_balance.balance + p_balance.overdraft_limit >= p_credits THEN 'held'
        ELSE 'spent'
    END;
    r.next_hold_expires_at := (
        SELECT min(expires_at) FROM ledger_hold WHERE user_id = p_balance.user_id AND status = 'open');
    RETURN r;
END $$;

CREATE OR REPLACE FUNCTION ledger_refund(
    p_debit ledger_entry, p_credits numeric, p_description text, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_left numeric;
    v_credits numeric;
    r ledger_outcome;
BEGIN
    PERFORM ledger_lock_used_balance(p_debit.user_id);
    r := ledger_replay(p_debit.user_id, 'refund', p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    v_left := -p_debit.amount - coalesce((SELECT sum(amount) FROM ledger_entry WHERE reverses_id = p_debit.id), 0);
    v_credits := coalesce(p_credits, v_left);
    IF v_left <= 0 OR v_credits > v_left THEN
        r.outcome := 'refund_exceeds_charge';
        r.available := v_left;
        RETURN r;
    END IF;
    PERFORM ledger_refuse_inexact(v_credits);
    RETURN ledger_move(
        p_debit.user_id, 'credit', 'refund', v_credits, p_description, p_debit.reference,
        jsonb_build_object('charge_id', p_debit.id), 'refund', p_idempotency_key, p_fingerprint, p_debit.id);
END $$;
