-- Grants: which credits are spent first, and what is left of those that end (docs/decisions/0031 and 0039).
--
-- Promises that every credit is in one grant, and that what the grants have left is what the balance has. Charging
-- never touches them. Which debits drew on which grants is settled, in the order of the ledger, when a grant ends, a
-- refund goes back to grants, or somebody asks: grants_burn_down.sql, then grants_expiry.sql, written down here.
-- Called by ledger/services/grants.py:open_grant and :settle_grants, and by settling.sql when something is due.
-- Locks: ledger_balance, locked by the caller or by ledger_lock_balance; then ledger_grant and ledger_grantprogress.

-- Credits of a grant that expire (negative: that a period brings), and when. Without `entry_id`: of all grants.
CREATE TYPE ledger_grant_expiry AS (entry_id bigint, credits numeric, expired_at timestamptz);

-- A grant as it stands. `ran_out_seq`: its time had come after this entry; NULL: it has not.
CREATE TYPE ledger_grant_state AS (
    entry_id bigint, seq bigint, amount numeric, remaining numeric, expired numeric, category text, priority smallint,
    effective_at timestamptz, expires_at timestamptz, ran_out_seq bigint, expired_at timestamptz, created_at timestamptz
);

CREATE TYPE ledger_grant_draw AS (
    entry_id bigint, first_seq bigint, last_seq bigint, first_credits numeric, last_credits numeric, credits numeric
);

-- How grants stand once all entries up to `seq` have drawn on them: those that were looked at, what was drawn, and what
-- has expired since (negative: what periods that began since have brought).
CREATE TYPE ledger_grants_standing AS (
    seq bigint, overdrawn numeric, grants ledger_grant_state[], drawn ledger_grant_draw[], expiries ledger_grant_expiry[]
);

-- Post a credit that is a grant with terms of its own. NULL terms are the usual ones.
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
    IF p_reason NOT IN ('purchase', 'grant', 'auto_reload') THEN
        RAISE EXCEPTION 'no grant is opened for the reason %', p_reason USING ERRCODE = 'check_violation';
    END IF;
    PERFORM ledger_refuse_inexact(p_amount);
    r := ledger_move(
        p_user_id, 'credit', p_reason, p_amount, p_description, p_reference, p_metadata, p_operation,
        p_idempotency_key, p_fingerprint);
    IF r.outcome = 'posted' THEN
        INSERT INTO ledger_grant (
            entry_id, user_id, seq, amount, remaining, category, priority, effective_at, expires_at, created_at)
        VALUES (
            r.entry_id, p_user_id, r.seq, p_amount, p_amount,
            coalesce(p_category, CASE p_reason WHEN 'grant' THEN 'promotional' ELSE 'paid' END),
            coalesce(p_priority, 50), least(coalesce(p_effective_at, r.created_at), v_now), p_expires_at, r.created_at);
        UPDATE ledger_balance SET next_expiry_at = p_expires_at
        WHERE user_id = p_user_id AND next_expiry_at > p_expires_at;
        PERFORM ledger_collect_owed_credits(p_user_id);
    END IF;
    RETURN r;
END $$;

-- Settle what has expired, and at most `p_most` moves of the history further. Nobody is locked when there is nothing to
-- do. A caller that repeats it in transactions of its own gets through any history.
--   unsettled     entries that are left to settle
--   expiries      entries that this made
CREATE FUNCTION ledger_settle_grants(
    p_user_id bigint, p_most bigint, OUT unsettled bigint, OUT expiries bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_grants_standing;
    v_seq bigint;
BEGIN
    unsettled := 0;
    expiries := 0;
    PERFORM FROM ledger_balance b LEFT JOIN ledger_grantprogress p USING (user_id)
    WHERE b.user_id = p_user_id AND (b.seq > coalesce(p.seq, 0) OR b.next_expiry_at <= clock_timestamp());
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT seq INTO v_seq FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    r := ledger_burn_down(p_user_id, NULL, p_most);
    PERFORM ledger_note_grants(p_user_id, r);
    unsettled := v_seq - r.seq;
    IF unsettled = 0 THEN
        PERFORM ledger_settle_due(p_user_id);
        expiries := (SELECT seq - v_seq FROM ledger_balance WHERE user_id = p_user_id);
        IF expiries > 0 THEN  -- what that made available may have been owed, and taken at once
            r := ledger_burn_down(p_user_id, NULL, p_most);
            PERFORM ledger_note_grants(p_user_id, r);
            unsettled := v_seq + expiries - r.seq;
        END IF;
    END IF;
END $$;

-- Write down how grants stand. The caller has locked the balance row.
CREATE FUNCTION ledger_note_grants(p_user_id bigint, r ledger_grants_standing) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_grant g SET
        remaining = s.remaining, expired = s.expired, has_run_out = s.ran_out_seq IS NOT NULL,
        ran_out_seq = s.ran_out_seq, expired_at = s.expired_at
    FROM unnest(r.grants) s
    WHERE g.entry_id = s.entry_id
        AND (g.remaining, g.expired, g.ran_out_seq) IS DISTINCT FROM (s.remaining, s.expired, s.ran_out_seq);
    INSERT INTO ledger_grant (
        entry_id, user_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, has_run_out,
        ran_out_seq, expired_at, created_at)
    SELECT entry_id, p_user_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at,
        ran_out_seq IS NOT NULL, ran_out_seq, expired_at, created_at
    FROM unnest(r.grants) s
    WHERE amount > 0 AND entry_id > 0 AND NOT EXISTS (SELECT FROM ledger_grant g WHERE g.entry_id = s.entry_id)
    ORDER BY entry_id;
    INSERT INTO ledger_grantdraw (user_id, grant_id, first_seq, last_seq, first_credits, last_credits, credits)
    SELECT p_user_id, entry_id, first_seq, last_seq, first_credits, last_credits, credits
    FROM unnest(r.drawn) WITH ORDINALITY
        AS d(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
    ORDER BY place;
    IF r.seq IS NOT NULL THEN
        INSERT INTO ledger_grantprogress (user_id, seq, overdrawn) VALUES (p_user_id, r.seq, r.overdrawn)
        ON CONFLICT (user_id) DO UPDATE SET seq = excluded.seq, overdrawn = excluded.overdrawn;
    END IF;
END $$;

-- How many moves are settled in one transaction: more than the entries after which `balance_notes_crossing` has it
-- done.
CREATE FUNCTION ledger_moves_at_once() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1500';

-- Does a customer's history hold more moves than are settled at once?
CREATE FUNCTION ledger_is_far_behind(p_user_id bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (SELECT seq FROM ledger_balance WHERE user_id = p_user_id) > done.seq + ledger_moves_at_once() AND EXISTS (
        SELECT FROM (
            (SELECT FROM ledger_entry WHERE user_id = p_user_id AND type = 'credit' AND seq > done.seq
             LIMIT ledger_moves_at_once() + 1)
            UNION ALL
            (SELECT FROM ledger_entry WHERE user_id = p_user_id AND type = 'adjustment' AND seq > done.seq
             LIMIT ledger_moves_at_once() + 1)
        ) moves OFFSET ledger_moves_at_once())
    FROM (
        SELECT coalesce((SELECT seq FROM ledger_grantprogress WHERE user_id = p_user_id), 0) AS seq
    ) done
$$;

-- May the past of a customer who is far behind be left for later? Not once grants with terms of their own stand in what
-- is settled, not even if nothing is left of them: refunds that are not settled yet may restore some of them.
CREATE FUNCTION ledger_may_skip(p_user_id bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT ledger_is_far_behind(p_user_id) AND NOT EXISTS (
        SELECT FROM ledger_grant g
        WHERE g.user_id = p_user_id AND (g.expires_at IS NOT NULL OR g.priority <> 50)
            AND g.seq <= coalesce((SELECT p.seq FROM ledger_grantprogress p WHERE p.user_id = p_user_id), 0))
$$;

-- Refuse to settle in one transaction what is more than four times as long as is settled at once. Who is refused calls
-- `ledger_settle_grants` until it is done, each time in a transaction of its own, and tries again.
CREATE FUNCTION ledger_refuse_long_history(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(ledger_grant_moves(
        p_user_id, coalesce((SELECT seq FROM ledger_grantprogress WHERE user_id = p_user_id), 0),
        4 * ledger_moves_at_once() + 1)) > 4 * ledger_moves_at_once()
    THEN
        RAISE EXCEPTION 'the grants of customer % are to be settled first', p_user_id
            USING ERRCODE = 'TB001', DETAIL = p_user_id::text;
    END IF;
END $$;

-- Has the customer, or had, credits that end? Without them nothing about grants changes what there is.
CREATE FUNCTION ledger_has_grants_that_end(p_user_id bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM ledger_grant WHERE user_id = p_user_id AND expires_at IS NOT NULL)
$$;
