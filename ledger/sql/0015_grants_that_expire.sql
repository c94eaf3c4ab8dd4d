-- Lots whose time has come: the doors, and what refusals and refunds have to do with them.

-- Settle every hold and every lot of the customer that has expired, in the order of their moments; answers how many
-- holds there were. The caller holds the balance row. What a lot loses is one debit, made at its own moment, though
-- never before the entry that stands before it.
CREATE OR REPLACE FUNCTION ledger_settle_expired(p_user_id bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    b ledger_balance;
    r ledger_reckoning;
    v_settled integer;
    v_freed numeric;
    v_latest timestamptz;
    v_key text;
    lapse ledger_lapse;
BEGIN
    IF EXISTS (SELECT FROM ledger_grant WHERE user_id = p_user_id AND expires_at IS NOT NULL) THEN
        r := ledger_reckon(p_user_id, v_now);
    END IF;
    WITH gone AS (
        UPDATE ledger_hold SET status = 'expired', settled_at = expires_at
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= v_now
        RETURNING credits - captured AS freed, expires_at
    )
    SELECT count(*), coalesce(sum(freed), 0), max(expires_at) INTO v_settled, v_freed, v_latest FROM gone;

    SELECT * INTO b FROM ledger_balance WHERE user_id = p_user_id;
    FOREACH lapse IN ARRAY coalesce(r.lapses, '{}') LOOP
        b.seq := b.seq + 1;
        b.balance := b.balance - lapse.credits;
        b.granted_total := b.granted_total - lapse.credits;
        b.updated_at := greatest(b.updated_at, lapse.expired_at);
        v_key := format('%s:%s', lapse.entry_id, b.seq);
        b.seal := ledger_seal(
            b.seal, p_user_id, b.seq, 'debit', 'expiry', -lapse.credits, b.balance, 'Credits expired', NULL,
            jsonb_build_object('grant_id', lapse.entry_id), 'expire_grant', v_key, sha256(convert_to(v_key, 'UTF8')),
            NULL, NULL, b.updated_at);
        INSERT INTO ledger_entry (
            user_id, seq, type, reason, amount, balance_after, description, metadata, operation, idempotency_key,
            fingerprint, created_at, seal)
        VALUES (
            p_user_id, b.seq, 'debit', 'expiry', -lapse.credits, b.balance, 'Credits expired',
            jsonb_build_object('grant_id', lapse.entry_id), 'expire_grant', v_key, sha256(convert_to(v_key, 'UTF8')),
            b.updated_at, b.seal);
        r.draws := array_append(r.draws, ROW(
            lapse.entry_id, b.seq, b.seq, lapse.credits, lapse.credits, lapse.credits)::ledger_lot_draw);
        r.seq := b.seq;
    END LOOP;
    IF r.lots IS NOT NULL THEN
        PERFORM ledger_note_reckoning(p_user_id, r);
    END IF;

    UPDATE ledger_balance SET
        balance = b.balance, granted_total = b.granted_total, seq = b.seq, seal = b.seal,
        reserved = reserved - v_freed,
        -- A lot that keeps something for holds stays due: whoever comes next looks whether it still may.
        next_expiry_at = least(
            (SELECT min(h.expires_at) FROM ledger_hold h WHERE h.user_id = p_user_id AND h.status = 'open'),
            (SELECT min(g.expires_at) FROM ledger_grant g
             WHERE g.user_id = p_user_id AND g.expires_at IS NOT NULL AND g.remaining > 0),
            '9999-12-31 00:00:00+00'),
        updated_at = greatest(b.updated_at, v_latest)
    WHERE user_id = p_user_id;
    RETURN v_settled;
END $$;

-- Settle what has expired, and reckon at most `p_most` entries further which debits drew on which lots. Nobody is
-- locked when there is nothing to do.
--   unreckoned    entries that are left to reckon
--   expiries      entries that this made
CREATE FUNCTION ledger_settle_grants(
    p_user_id bigint, p_most bigint, OUT unreckoned bigint, OUT expiries bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_reckoning;
    v_seq bigint;
BEGIN
    unreckoned := 0;
    expiries := 0;
    PERFORM FROM ledger_balance b LEFT JOIN ledger_grantprogress p USING (user_id)
    WHERE b.user_id = p_user_id AND (b.seq > coalesce(p.seq, 0) OR b.next_expiry_at <= clock_timestamp());
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT seq INTO v_seq FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    r := ledger_reckon(p_user_id, NULL, p_most);
    PERFORM ledger_note_reckoning(p_user_id, r);
    unreckoned := v_seq - r.seq;
    IF unreckoned = 0 THEN
        PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp();
        IF FOUND THEN
            PERFORM ledger_settle_expired(p_user_id);
            expiries := (SELECT seq - v_seq FROM ledger_balance WHERE user_id = p_user_id);
        END IF;
    END IF;
END $$;

-- Post a credit that is a lot with terms of its own. NULL terms are the usual ones.
--   outcome    as ledger_post_entry, and untimely (it would begin later than now, or end before)
CREATE FUNCTION ledger_open_grant(
    p_user_id bigint, p_reason text, p_amount numeric, p_description text, p_reference text, p_metadata jsonb,
    p_operation text, p_idempotency_key text, p_fingerprint bytea, p_category text, p_priority integer,
    p_effective_at timestamptz, p_expires_at timestamptz
) RETURNS ledger_outcome LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_outcome := ledger_replay(p_user_id, p_operation, p_idempotency_key, p_fingerprint);
    v_now timestamptz := clock_timestamp();
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_effective_at > v_now OR p_expires_at <= v_now THEN
        r.outcome := 'untimely';
        RETURN r;
    END IF;
    r := ledger_post_entry(
        p_user_id, 'credit', p_reason, p_amount, p_description, p_reference, p_metadata, p_operation,
        p_idempotency_key, p_fingerprint, NULL);
    IF r.outcome = 'posted' THEN
        INSERT INTO ledger_grant (
            entry_id, user_id, seq, amount, remaining, category, priority, effective_at, expires_at, created_at)
        VALUES (
            r.entry_id, p_user_id, r.seq, p_amount, p_amount,
            coalesce(p_category, CASE p_reason WHEN 'grant' THEN 'promotional' ELSE 'paid' END),
            coalesce(p_priority, 50), least(coalesce(p_effective_at, r.created_at), v_now), p_expires_at, r.created_at);
        UPDATE ledger_balance SET next_expiry_at = p_expires_at
        WHERE user_id = p_user_id AND next_expiry_at > p_expires_at;
    END IF;
    RETURN r;
END $$;

-- Why `p_credits` cannot be spent from this balance.
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
        WHEN r.available + p_balance.overdraft_limit + (
            SELECT coalesce(sum(-e.amount), 0)
            FROM ledger_grant g
            JOIN ledger_grantdraw d ON d.user_id = g.user_id AND d.grant_id = g.entry_id
            JOIN ledger_entry e ON e.user_id = d.user_id AND e.seq = d.first_seq AND e.reason = 'expiry'
            WHERE g.user_id = p_balance.user_id AND g.expires_at IS NOT NULL
                AND g.expired_at > clock_timestamp() - interval '24 hours'
                AND e.created_at > clock_timestamp() - interval '24 hours') >= p_credits THEN 'expired'
        ELSE 'spent'
    END;
    r.next_hold_expires_at := (
        SELECT min(expires_at) FROM ledger_hold WHERE user_id = p_balance.user_id AND status = 'open');
    RETURN r;
END $$;

-- Give back `p_credits` of a debit (NULL: all that was not given back yet) by an entry that says which. An inner room.
-- The credits return to the lots that the debit drew on; those whose time has come lose them at once.
--   outcome      posted | replayed | key_reused | refund_exceeds_charge
--   available    with refund_exceeds_charge: what is left to give back
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
    r := ledger_move(
        p_debit.user_id, 'credit', 'refund', v_credits, p_description, p_debit.reference,
        jsonb_build_object('charge_id', p_debit.id), 'refund', p_idempotency_key, p_fingerprint, p_debit.id);
    -- A lot that was used up may have something left again: whoever comes next looks when it expires.
    IF r.outcome = 'posted' THEN
        UPDATE ledger_balance SET next_expiry_at = least(next_expiry_at, r.created_at)
        WHERE user_id = p_debit.user_id AND EXISTS (
            SELECT FROM ledger_grant WHERE user_id = p_debit.user_id AND expires_at IS NOT NULL);
    END IF;
    RETURN r;
END $$;
