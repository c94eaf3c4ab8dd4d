-- Grants that staff end early or let stay longer (docs/decisions/0053).
--
-- Promises that the end of a grant changes only together with a row that says who changed it, when and why, and that
-- what debits have drawn on grants so far stays as it is: the order in which grants are spent depends on their ends, so
-- everything is settled first.
-- Called by ledger/services/grant_terms.py:end_grant and :extend_grant.
-- Locks: ledger_balance, then the key, then ledger_grant and what ledger_settle_expired writes.

-- What came of an attempt to change the end of a grant.
--   outcome      changed | replayed | key_reused | not_found | ended (its time has come) | used (nothing is left of it)
--                | not_later (it ends later than that, or never)
--   change_id    the row that says so, with `changed` and `replayed`
CREATE TYPE ledger_grant_terms_outcome AS (outcome text, change_id bigint);

-- Let a grant end now (`p_expires_at` NULL) or later than it would. What is left of a grant that ends expires at once, by
-- an entry with the reason that staff gave, except what open holds have reserved of it, as when its time comes by
-- itself. Repeating the call with its key changes nothing.
CREATE FUNCTION ledger_change_grant_end(
    p_user_id bigint, p_grant_id bigint, p_expires_at timestamptz, p_note text, p_actor_id bigint,
    p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_grant_terms_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    v_fingerprint bytea;
    v_now timestamptz;
    g ledger_grant;
    r ledger_grant_terms_outcome;
BEGIN
    SELECT id, fingerprint INTO r.change_id, v_fingerprint
    FROM ledger_granttermschange WHERE user_id = p_user_id AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN v_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
        RETURN r;
    END IF;
    PERFORM ledger_refuse_long_history(p_user_id);
    PERFORM ledger_note_grants(p_user_id, ledger_burn_down(p_user_id, NULL));
    SELECT * INTO g FROM ledger_grant WHERE entry_id = p_grant_id AND user_id = p_user_id;
    v_now := clock_timestamp();
    r.outcome := CASE
        WHEN g.entry_id IS NULL THEN 'not_found'
        WHEN g.has_run_out OR g.expires_at <= v_now THEN 'ended'
        WHEN g.remaining = 0 THEN 'used'
        WHEN p_expires_at <= g.expires_at OR (p_expires_at IS NOT NULL AND g.expires_at IS NULL) THEN 'not_later'
    END;
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    INSERT INTO ledger_granttermschange (
        user_id, grant_id, kind, expires_before, expires_after, credits, note, actor_id, idempotency_key, fingerprint,
        created_at)
    VALUES (
        p_user_id, p_grant_id, CASE WHEN p_expires_at IS NULL THEN 'end' ELSE 'extend' END, g.expires_at,
        coalesce(p_expires_at, v_now), g.remaining, p_note, p_actor_id, p_idempotency_key, p_fingerprint, v_now)
    RETURNING id INTO r.change_id;
    -- The balance may expect an expiry at the old time; there it looks again, and finds the new one.
    UPDATE ledger_grant SET expires_at = coalesce(p_expires_at, v_now) WHERE entry_id = p_grant_id;
    IF p_expires_at IS NULL THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    r.outcome := 'changed';
    RETURN r;
END $$;

-- The change that gave a grant the end that it has; no row: nobody changed it.
CREATE FUNCTION ledger_end_by_staff(p_user_id bigint, p_grant_id bigint) RETURNS ledger_granttermschange
LANGUAGE sql STABLE AS $$
    SELECT c FROM ledger_granttermschange c
    WHERE c.user_id = p_user_id AND c.grant_id = p_grant_id ORDER BY c.id DESC LIMIT 1
$$;
