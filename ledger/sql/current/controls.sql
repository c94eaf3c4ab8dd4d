-- Controls: on which conditions a customer may spend, whether the balance is frozen, and how far it may be overdrawn.
--
-- Promises that what staff change of them is written down for ever, with who and why.
-- Called by ledger/services/controls.py:_freeze and :set_overdraft_limit.
-- Locks: ledger_balance, then the key.

-- What came of an attempt to change the terms.
--   outcome      changed | replayed | key_reused | unchanged (they are so already) | too_low
--   change_id    the row that says so, with `changed` and `replayed`
--   overdrawn    with `too_low`: credits by which the customer is overdrawn now, holds included
CREATE TYPE ledger_terms_outcome AS (
    outcome text,
    change_id bigint,
    overdrawn numeric
);

-- The change that was made under a key, if any; NULL in `outcome` when the key is new. The caller has locked the
-- balance row, so a twin has either committed or not begun.
CREATE FUNCTION ledger_replay_terms(
    p_user_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_terms_outcome LANGUAGE plpgsql STABLE AS $$
DECLARE
    r ledger_terms_outcome;
    v_fingerprint bytea;
BEGIN
    SELECT id, fingerprint INTO r.change_id, v_fingerprint
    FROM ledger_termschange WHERE user_id = p_user_id AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN v_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
    END IF;
    RETURN r;
END $$;

-- Freeze a balance, or end that. From a frozen one nothing is spent or held; credits still come in, and open holds may
-- still be captured, released and expire.
CREATE FUNCTION ledger_freeze(
    p_user_id bigint, p_frozen boolean, p_note text, p_actor_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_terms_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    r ledger_terms_outcome;
    v_now timestamptz;
BEGIN
    r := ledger_replay_terms(p_user_id, p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_frozen = (v_balance.frozen_at IS NOT NULL) THEN
        r.outcome := 'unchanged';
        RETURN r;
    END IF;
    v_now := clock_timestamp();
    UPDATE ledger_balance SET frozen_at = CASE WHEN p_frozen THEN v_now END WHERE user_id = p_user_id;
    INSERT INTO ledger_termschange (user_id, kind, note, actor_id, idempotency_key, fingerprint, created_at)
    VALUES (
        p_user_id, CASE WHEN p_frozen THEN 'freeze' ELSE 'unfreeze' END, p_note, p_actor_id, p_idempotency_key,
        p_fingerprint, v_now)
    RETURNING id INTO r.change_id;
    r.outcome := 'changed';
    RETURN r;
END $$;

-- Let a customer's available credits fall to -`p_limit` (0 or more credits). A limit below what is overdrawn
-- already is refused: the balance would break its own rule.
CREATE FUNCTION ledger_set_overdraft(
    p_user_id bigint, p_limit numeric, p_note text, p_actor_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_terms_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    r ledger_terms_outcome;
BEGIN
    PERFORM ledger_refuse_inexact(p_limit);
    r := ledger_replay_terms(p_user_id, p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_limit = v_balance.overdraft_limit THEN
        r.outcome := 'unchanged';
        RETURN r;
    END IF;
    IF p_limit < v_balance.reserved - v_balance.balance THEN
        r.outcome := 'too_low';
        r.overdrawn := v_balance.reserved - v_balance.balance;
        RETURN r;
    END IF;
    UPDATE ledger_balance SET overdraft_limit = p_limit WHERE user_id = p_user_id;
    INSERT INTO ledger_termschange (
        user_id, kind, limit_before, limit_after, note, actor_id, idempotency_key, fingerprint, created_at)
    VALUES (
        p_user_id, 'overdraft', v_balance.overdraft_limit, p_limit, p_note, p_actor_id, p_idempotency_key,
        p_fingerprint, clock_timestamp())
    RETURNING id INTO r.change_id;
    PERFORM ledger_collect_owed_credits(p_user_id);
    r.outcome := 'changed';
    RETURN r;
END $$;
