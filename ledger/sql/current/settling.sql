-- Settling: whatever was due of a customer is written down, each at its own time.
--
-- Promises that a hold that has expired, a grant that has ended and a period that has begun count from their own times
-- on, whichever call writes them down, and that readers see the same before it is done.
-- Called by ledger_lock_balance (balances.sql) and by whatever restores credits; from Python, for readers,
-- ledger/selectors.py:BALANCE_QUERY and ledger/admin/credits/available.py:_ExpiredCredits (ledger_expired_credits).
-- Locks: ledger_balance, locked by the caller; then holds, entries, grants, the subscription, and payments that owe.

-- The grants of a customer as they stand at `p_now`, once the history is settled; `skips`: without a part of the past,
-- whose turn comes with later calls.
--
-- A history that is longer than what is settled at once is settled so far, and what has expired is settled without the
-- rest of it, if that may be skipped. `balance_notes_crossing` lets a call come every 1024 entries, so that it never
-- grows longer.
CREATE FUNCTION ledger_settle_history(
    p_user_id bigint, p_now timestamptz, p_seq bigint, OUT standing ledger_grants_standing, OUT skips boolean
) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        skips := false;
        standing := ledger_burn_down(p_user_id, p_now, ledger_moves_at_once());
        EXIT WHEN standing.seq = p_seq;
        IF NOT ledger_may_skip(p_user_id) THEN
            PERFORM ledger_refuse_long_history(p_user_id);
        END IF;
        PERFORM ledger_note_grants(p_user_id, standing);
        skips := ledger_may_skip(p_user_id);
        IF skips THEN
            standing := ledger_burn_down(p_user_id, p_now, NULL, true);
            EXIT;
        END IF;
    END LOOP;
    standing := ledger_grants_at(p_user_id, p_now, standing);
    IF skips THEN
        standing.drawn := '{}';
        standing.seq := NULL;
        standing.grants := ARRAY(  -- what expired is counted in its turn, too
            SELECT ROW(
                s.entry_id, s.seq, s.amount, s.remaining, coalesce(g.expired, 0), s.category, s.priority,
                s.effective_at, s.expires_at, s.ran_out_seq, s.expired_at, s.created_at)::ledger_grant_state
            FROM unnest(standing.grants) s LEFT JOIN ledger_grant g ON g.entry_id = s.entry_id
            WHERE s.expires_at IS NOT NULL OR s.priority <> 50 OR s.entry_id < 0);
    END IF;
END $$;

-- The entry that says that a grant has expired. If staff have ended it, the entry has their reason.
CREATE FUNCTION ledger_expiry_entry(p_user_id bigint, p_grant_id bigint, p_seq bigint) RETURNS ledger_entry
LANGUAGE plpgsql STABLE AS $$
DECLARE
    e ledger_entry;
    v_change ledger_granttermschange := ledger_end_by_staff(p_user_id, p_grant_id);
BEGIN
    e.type := 'debit';
    e.reason := 'expiry';
    e.description := 'Credits expired';
    e.metadata := jsonb_build_object('grant_id', p_grant_id);
    e.operation := 'expire_grant';
    e.idempotency_key := format('%s:%s', p_grant_id, p_seq);
    IF v_change.kind = 'end' THEN
        e.description := v_change.note;
        e.actor_id := v_change.actor_id;
    END IF;
    RETURN e;
END $$;

-- The entry of what a period brings, or (`p_rolls_over`) of what of it stays longer.
CREATE FUNCTION ledger_period_entry(d ledger_due_period, p_rolls_over boolean) RETURNS ledger_entry
LANGUAGE plpgsql STABLE AS $$
DECLARE
    e ledger_entry;
    v_plan accounts_plan;
BEGIN
    SELECT * INTO v_plan FROM accounts_plan WHERE id = d.plan_id;
    e.type := 'credit';
    e.reason := 'grant';
    e.description := format(
        '%s, %s to %s%s', v_plan.name, to_char(d.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
        to_char(d.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), CASE WHEN p_rolls_over THEN ': rolls over' ELSE '' END);
    e.metadata := jsonb_build_object(
        'subscription_id', d.subscription_id, 'plan', v_plan.code,
        'period_start', to_char(d.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
    e.operation := 'subscription';
    e.idempotency_key := format(
        '%s:%s%s', d.subscription_id, e.metadata ->> 'period_start',
        CASE WHEN p_rolls_over THEN ':rolls-over' ELSE '' END);
    RETURN e;
END $$;

-- Write the entries of what has expired and what periods have brought; returns the balance after them and their ids, in
-- the order of the stand-ins of periods' grants. The row of the balance is left to the caller.
CREATE FUNCTION ledger_post_expiries(
    INOUT b ledger_balance, p_expiries ledger_grant_expiry[], p_periods ledger_due_period[], OUT made bigint[],
    OUT drawn ledger_grant_draw[]
) LANGUAGE plpgsql AS $$
DECLARE
    e ledger_entry;
    expiry ledger_grant_expiry;
BEGIN
    made := '{}';
    drawn := '{}';
    FOREACH expiry IN ARRAY p_expiries LOOP
        b.seq := b.seq + 1;
        b.balance := b.balance - expiry.credits;
        b.granted_total := b.granted_total - expiry.credits;
        b.updated_at := greatest(b.updated_at, expiry.expired_at);
        IF expiry.credits > 0 THEN
            IF expiry.entry_id < 0 THEN
                expiry.entry_id := made[-expiry.entry_id];
            END IF;
            e := ledger_expiry_entry(b.user_id, expiry.entry_id, b.seq);
        ELSE
            e := ledger_period_entry(p_periods[(1 - expiry.entry_id) / 2], expiry.entry_id % 2 = 0);
        END IF;
        e.fingerprint := sha256(convert_to(e.idempotency_key, 'UTF8'));
        b.seal := ledger_seal(
            b.seal, b.user_id, b.seq, e.type, e.reason, -expiry.credits, b.balance, e.description, NULL, e.metadata,
            e.operation, e.idempotency_key, e.fingerprint, NULL, e.actor_id, b.updated_at);
        INSERT INTO ledger_entry (
            user_id, seq, type, reason, amount, balance_after, description, metadata, operation, idempotency_key,
            fingerprint, actor_id, created_at, seal)
        VALUES (
            b.user_id, b.seq, e.type, e.reason, -expiry.credits, b.balance, e.description, e.metadata, e.operation,
            e.idempotency_key, e.fingerprint, e.actor_id, b.updated_at, b.seal)
        RETURNING id INTO e.id;
        IF expiry.credits > 0 THEN
            drawn := array_append(drawn, ROW(
                expiry.entry_id, b.seq, b.seq, expiry.credits, expiry.credits, expiry.credits)::ledger_grant_draw);
        ELSE
            made[-expiry.entry_id] := e.id;
        END IF;
    END LOOP;
END $$;

-- Put the ids of entries that were made in the place of the stand-ins of periods' grants.
CREATE FUNCTION ledger_with_entries(r ledger_grants_standing, p_made bigint[]) RETURNS ledger_grants_standing
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    r.grants := ARRAY(
        SELECT ROW(CASE WHEN entry_id < 0 THEN p_made[-entry_id] ELSE entry_id END, seq, amount, remaining, expired,
                   category, priority, effective_at, expires_at, ran_out_seq, expired_at, created_at)::ledger_grant_state
        FROM unnest(r.grants));
    r.drawn := ARRAY(
        SELECT ROW(CASE WHEN entry_id < 0 THEN p_made[-entry_id] ELSE entry_id END, first_seq, last_seq,
                   first_credits, last_credits, credits)::ledger_grant_draw
        FROM unnest(r.drawn) WITH ORDINALITY
            AS draw(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
        ORDER BY place);
    RETURN r;
END $$;

-- Settle every hold and every grant of the customer that has expired, and begin every period that is due, in the order
-- of their times; returns how many holds there were. The caller has locked the balance row. What a grant loses is one
-- debit and what a period brings one credit or two, made at their own times, though never before the entry before them.
CREATE FUNCTION ledger_settle_expired(p_user_id bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    b ledger_balance;
    v_history record;
    v_posted record;
    v_periods ledger_due_period[] := '{}';
    v_settled integer;
    v_freed numeric;
    v_latest timestamptz;
    r ledger_grants_standing;
BEGIN
    IF ledger_subscription_due_at(p_user_id) <= v_now THEN
        v_periods := ARRAY(SELECT due FROM ledger_periods_due(p_user_id, v_now) AS due);
    END IF;
    SELECT * INTO b FROM ledger_balance WHERE user_id = p_user_id;
    IF cardinality(v_periods) > 0 OR ledger_has_grants_that_end(p_user_id) OR b.seq >= 1024 + coalesce(
        (SELECT seq FROM ledger_grantprogress WHERE user_id = p_user_id), 0)
    THEN
        v_history := ledger_settle_history(p_user_id, v_now, b.seq);
        r := v_history.standing;
    END IF;
    WITH gone AS (
        UPDATE ledger_hold SET status = 'expired', settled_at = expires_at
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= v_now
        RETURNING credits - captured AS freed, expires_at
    )
    SELECT count(*), coalesce(sum(freed), 0), max(expires_at) INTO v_settled, v_freed, v_latest FROM gone;

    IF r.grants IS NOT NULL THEN
        v_posted := ledger_post_expiries(b, r.expiries, v_periods);
        b := v_posted.b;
        r.drawn := r.drawn || v_posted.drawn;
        IF cardinality(r.expiries) > 0 THEN
            r.seq := CASE WHEN NOT v_history.skips THEN b.seq END;
        END IF;
        PERFORM ledger_note_grants(p_user_id, ledger_with_entries(r, v_posted.made));
        IF cardinality(v_periods) > 0 THEN
            PERFORM ledger_note_periods(p_user_id, v_periods, v_posted.made);
        END IF;
    END IF;

    UPDATE ledger_balance SET
        balance = b.balance, granted_total = b.granted_total, seq = b.seq, seal = b.seal,
        reserved = reserved - v_freed,
        -- A grant that keeps something for holds stays due: the next call looks whether it still may.
        next_expiry_at = least(
            (SELECT min(h.expires_at) FROM ledger_hold h WHERE h.user_id = p_user_id AND h.status = 'open'),
            (SELECT min(g.expires_at) FROM ledger_grant g
             WHERE g.user_id = p_user_id AND g.expires_at IS NOT NULL AND g.remaining > 0),
            ledger_subscription_due_at(p_user_id),
            '9999-12-31 00:00:00+00'),
        updated_at = greatest(b.updated_at, v_latest)
    WHERE user_id = p_user_id;
    RETURN v_settled;
END $$;

-- Settle what is due, if anything is, and take what is owed of what a hold may have given back. The caller
-- has locked the balance row.
CREATE FUNCTION ledger_settle_due(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp();
    IF FOUND THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    PERFORM ledger_collect_owed_credits(p_user_id);
END $$;

-- Settle an entry that reverses another: it may have given credits back to a grant whose time has come, or
-- to a customer who owes some. The caller has locked the balance row.
CREATE FUNCTION ledger_settle_reversing_entry(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ledger_has_grants_that_end(p_user_id) THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    PERFORM ledger_collect_owed_credits(p_user_id);
END $$;

-- What a customer's grants have lost by `p_now` since anything was settled, less what periods that began meanwhile have
-- brought: credits, and when the last of that happened. What is owed, and will be taken of what has become available
-- by that or by holds that have expired, counts as lost: nobody can spend it.
-- All NULL: nothing. For readers, whether or not a job has run.
CREATE FUNCTION ledger_expired_credits(p_user_id bigint, p_now timestamptz) RETURNS ledger_grant_expiry
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_standing ledger_grants_standing;
    v_owed numeric;
    v_there numeric;
    r ledger_grant_expiry;
BEGIN
    IF ledger_has_grants_that_end(p_user_id) OR ledger_subscription_due_at(p_user_id) <= p_now THEN
        v_standing := ledger_grants_at(
            p_user_id, p_now, ledger_burn_down(p_user_id, p_now, NULL, ledger_may_skip(p_user_id)));
        SELECT NULL, sum(expiry.credits), max(expiry.expired_at) INTO r FROM unnest(v_standing.expiries) AS expiry;
    END IF;
    v_owed := (SELECT sum(credits_owed) FROM ledger_payment WHERE user_id = p_user_id AND credits_owed > 0);
    IF v_owed > 0 AND NOT (ledger_has_grants_that_end(p_user_id) AND ledger_is_far_behind(p_user_id)) THEN
        SELECT b.balance - coalesce(r.credits, 0) + b.overdraft_limit - b.reserved + coalesce((
            SELECT sum(h.credits - h.captured) FROM ledger_hold h
            WHERE h.user_id = p_user_id AND h.status = 'open' AND h.expires_at <= p_now), 0)
        INTO v_there FROM ledger_balance b WHERE b.user_id = p_user_id;
        IF v_there > 0 THEN
            r.credits := coalesce(r.credits, 0) + least(v_owed, v_there);
        END IF;
    END IF;
    RETURN r;
END $$;
