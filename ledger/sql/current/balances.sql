-- Balances: the one row of a customer that every operation locks first.
--
-- Promises that whoever holds the row sees it with everything settled that was due: holds that have run out, grants that
-- have ended, periods that have begun, and what the customer owes taken from what that made available.
-- Called by the functions of the other files; from Python: ledger/selectors.py:BALANCE_QUERY (ledger_lapsed).
-- Locks: ledger_balance (FOR NO KEY UPDATE), then what belongs to it: holds, grants, the subscription, payments.

-- Hold the customer's balance row until the transaction ends, making it if it is the first use, with
-- whatever has expired settled. The order that every rule keeps: this first, then the key, then the amount.
-- FOR NO KEY UPDATE: rows that refer to the balance may still be inserted meanwhile.
CREATE FUNCTION ledger_lock_balance(p_user_id bigint) RETURNS ledger_balance LANGUAGE plpgsql AS $$
DECLARE
    v_balance ledger_balance;
    v_before ledger_balance;
BEGIN
    -- Nothing has changed yet, so the balance is as old as the account. The foreign key, checked when the
    -- transaction ends, would tell too late that there is no such customer.
    INSERT INTO ledger_balance (user_id, updated_at)
    SELECT id, least(created_at, clock_timestamp()) FROM accounts_user WHERE id = p_user_id
    ON CONFLICT DO NOTHING;
    SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no customer %', p_user_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_balance.next_expiry_at <= clock_timestamp() THEN
        v_before := v_balance;
        PERFORM ledger_settle_expired(p_user_id);
        SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id;
        IF (v_balance.seq, v_balance.reserved) <> (v_before.seq, v_before.reserved) THEN
            PERFORM ledger_take_what_is_owed(p_user_id);
            SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id;
        END IF;
    END IF;
    RETURN v_balance;
END $$;

-- The balance row of a customer who has used the ledger before, held until the transaction ends, with whatever has
-- expired settled: ledger_lock_balance without the insert that the first use needs.
CREATE FUNCTION ledger_lock_used_balance(p_user_id bigint) RETURNS ledger_balance LANGUAGE plpgsql AS $$
DECLARE
    v_balance ledger_balance;
BEGIN
    SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF v_balance.next_expiry_at > clock_timestamp() THEN
        RETURN v_balance;
    END IF;
    RETURN ledger_lock_balance(p_user_id);
END $$;

-- Settle every hold and every grant of the customer that has expired, and begin every period that is due, in the order
-- of their times; returns how many holds there were. The caller holds the balance row. What a grant loses is one debit
-- and what a period brings one credit or two, made at their own times, though never before the entry before them.
--
-- A history that is longer than what is settled at once is settled so far, and what has expired is settled without the
-- rest of it, if that may be skipped; its turn comes with later calls. `balance_notes_crossing` lets one come every 1024
-- entries, so that it never grows longer.
CREATE FUNCTION ledger_settle_expired(p_user_id bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    b ledger_balance;
    e ledger_entry;
    r ledger_grants_standing;
    v_skips boolean := false;
    v_periods ledger_due_period[] := '{}';
    v_made bigint[] := '{}';    -- the entries of the grants that periods bring, in the order of their stand-ins
    v_plan accounts_plan;
    v_settled integer;
    v_freed numeric;
    v_latest timestamptz;
    d ledger_due_period;
    lapse ledger_lapse;
BEGIN
    IF ledger_subscription_due_at(p_user_id) <= v_now THEN
        v_periods := ARRAY(SELECT due FROM ledger_periods_due(p_user_id, v_now) AS due);
    END IF;
    SELECT * INTO b FROM ledger_balance WHERE user_id = p_user_id;
    IF cardinality(v_periods) > 0 OR ledger_has_grants_that_end(p_user_id) OR b.seq >= 1024 + coalesce(
        (SELECT seq FROM ledger_grantprogress WHERE user_id = p_user_id), 0)
    THEN
        LOOP
            r := ledger_burn_down(p_user_id, v_now, ledger_moves_at_once());
            EXIT WHEN r.seq = b.seq;
            v_skips := ledger_may_skip(p_user_id);
            IF NOT v_skips THEN
                PERFORM ledger_refuse_long_history(p_user_id);
            END IF;
            PERFORM ledger_note_grants(p_user_id, r);
            v_skips := ledger_may_skip(p_user_id);
            IF v_skips THEN
                r := ledger_burn_down(p_user_id, v_now, NULL, true);
                EXIT;
            END IF;
        END LOOP;
        r := ledger_lapse_grants(p_user_id, v_now, r);
        IF v_skips THEN
            r.draws := '{}';
            r.seq := NULL;
            r.grants := ARRAY(  -- what expired is counted in its turn, too
                SELECT ROW(
                    s.entry_id, s.seq, s.amount, s.remaining, coalesce(g.expired, 0), s.category, s.priority,
                    s.effective_at, s.expires_at, s.ran_out_seq, s.expired_at, s.created_at)::ledger_grant_state
                FROM unnest(r.grants) s LEFT JOIN ledger_grant g ON g.entry_id = s.entry_id
                WHERE s.expires_at IS NOT NULL OR s.priority <> 50 OR s.entry_id < 0);
        END IF;
    END IF;
    WITH gone AS (
        UPDATE ledger_hold SET status = 'expired', settled_at = expires_at
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= v_now
        RETURNING credits - captured AS freed, expires_at
    )
    SELECT count(*), coalesce(sum(freed), 0), max(expires_at) INTO v_settled, v_freed, v_latest FROM gone;

    FOREACH lapse IN ARRAY coalesce(r.lapses, '{}') LOOP
        b.seq := b.seq + 1;
        b.balance := b.balance - lapse.credits;
        b.granted_total := b.granted_total - lapse.credits;
        b.updated_at := greatest(b.updated_at, lapse.expired_at);
        IF lapse.credits > 0 THEN
            IF lapse.entry_id < 0 THEN
                lapse.entry_id := v_made[-lapse.entry_id];
            END IF;
            e.type := 'debit';
            e.reason := 'expiry';
            e.description := 'Credits expired';
            e.metadata := jsonb_build_object('grant_id', lapse.entry_id);
            e.operation := 'expire_grant';
            e.idempotency_key := format('%s:%s', lapse.entry_id, b.seq);
        ELSE
            d := v_periods[(1 - lapse.entry_id) / 2];
            SELECT * INTO v_plan FROM accounts_plan WHERE id = d.plan_id;
            e.type := 'credit';
            e.reason := 'grant';
            e.description := format(
                '%s, %s to %s%s', v_plan.name, to_char(d.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
                to_char(d.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
                CASE WHEN lapse.entry_id % 2 = 0 THEN ': rolls over' ELSE '' END);
            e.metadata := jsonb_build_object(
                'subscription_id', d.subscription_id, 'plan', v_plan.code,
                'period_start', to_char(d.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
            e.operation := 'subscription';
            e.idempotency_key := format(
                '%s:%s%s', d.subscription_id, e.metadata ->> 'period_start',
                CASE WHEN lapse.entry_id % 2 = 0 THEN ':rolls-over' ELSE '' END);
        END IF;
        e.fingerprint := sha256(convert_to(e.idempotency_key, 'UTF8'));
        b.seal := ledger_seal(
            b.seal, p_user_id, b.seq, e.type, e.reason, -lapse.credits, b.balance, e.description, NULL, e.metadata,
            e.operation, e.idempotency_key, e.fingerprint, NULL, NULL, b.updated_at);
        INSERT INTO ledger_entry (
            user_id, seq, type, reason, amount, balance_after, description, metadata, operation, idempotency_key,
            fingerprint, created_at, seal)
        VALUES (
            p_user_id, b.seq, e.type, e.reason, -lapse.credits, b.balance, e.description, e.metadata, e.operation,
            e.idempotency_key, e.fingerprint, b.updated_at, b.seal)
        RETURNING id INTO e.id;
        IF lapse.credits > 0 THEN
            r.draws := array_append(r.draws, ROW(
                lapse.entry_id, b.seq, b.seq, lapse.credits, lapse.credits, lapse.credits)::ledger_grant_draw);
        ELSE
            v_made[-lapse.entry_id] := e.id;
        END IF;
        r.seq := CASE WHEN NOT v_skips THEN b.seq END;
    END LOOP;
    IF r.grants IS NOT NULL THEN
        r.grants := ARRAY(
            SELECT ROW(CASE WHEN entry_id < 0 THEN v_made[-entry_id] ELSE entry_id END, seq, amount, remaining, expired,
                       category, priority, effective_at, expires_at, ran_out_seq, expired_at, created_at)::ledger_grant_state
            FROM unnest(r.grants));
        r.draws := ARRAY(
            SELECT ROW(CASE WHEN entry_id < 0 THEN v_made[-entry_id] ELSE entry_id END, first_seq, last_seq,
                       first_credits, last_credits, credits)::ledger_grant_draw
            FROM unnest(r.draws) WITH ORDINALITY
                AS draw(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
            ORDER BY place);
        PERFORM ledger_note_grants(p_user_id, r);
    END IF;

    IF cardinality(v_periods) > 0 THEN
        INSERT INTO ledger_subscriptionperiod (
            user_id, subscription_id, plan_id, starts_at, ends_at, credits, entry_id, kept_entry_id)
        SELECT p_user_id, subscription_id, plan_id, starts_at, ends_at,
            coalesce((SELECT sum(amount) FROM ledger_entry WHERE id IN (v_made[2 * place - 1], v_made[2 * place])), 0),
            v_made[2 * place - 1], v_made[2 * place]
        FROM unnest(v_periods) WITH ORDINALITY AS due(
            subscription_id, status, plan_id, billing_interval, credits_per_period, rollover_cap, months_elapsed,
            starts_at, ends_at, next_grant_at, begins, credits, expires_at, kept, kept_until, place)
        WHERE begins ORDER BY place;
        d := v_periods[cardinality(v_periods)];
        UPDATE accounts_subscription SET
            status = d.status, plan_id = d.plan_id, billing_interval = d.billing_interval,
            credits_per_period = d.credits_per_period, rollover_cap = d.rollover_cap,
            months_elapsed = d.months_elapsed, current_period_start = d.starts_at, current_period_end = d.ends_at,
            next_grant_at = d.next_grant_at,
            -- A change that waited for the next period is made with it.
            pending_plan_id = CASE WHEN current_period_start = d.starts_at THEN pending_plan_id END,
            pending_interval = CASE WHEN current_period_start = d.starts_at THEN pending_interval ELSE '' END,
            pending_credits = CASE WHEN current_period_start = d.starts_at THEN pending_credits END,
            pending_rollover_cap = CASE WHEN current_period_start = d.starts_at THEN pending_rollover_cap END
        WHERE id = d.subscription_id;
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
-- holds the balance row.
CREATE FUNCTION ledger_settle_what_is_due(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp();
    IF FOUND THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    PERFORM ledger_take_what_is_owed(p_user_id);
END $$;

-- Settle an entry that reverses another: it may have given credits back to a grant whose time has come, or
-- to a customer who owes some. The caller holds the balance row.
CREATE FUNCTION ledger_settle_what_came_in(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ledger_has_grants_that_end(p_user_id) THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    PERFORM ledger_take_what_is_owed(p_user_id);
END $$;

-- What a customer's grants have lost by `p_now` since anything was settled, less what periods that began meanwhile have
-- brought: credits, and when the last of that happened. What is owed, and will be taken of what has become available
-- by that or by holds that have run out, counts as lost: nobody can spend it.
-- All NULL: nothing. For readers, whether or not a job has run.
CREATE FUNCTION ledger_lapsed(p_user_id bigint, p_now timestamptz) RETURNS ledger_lapse
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_standing ledger_grants_standing;
    v_owed numeric;
    v_there numeric;
    r ledger_lapse;
BEGIN
    IF ledger_has_grants_that_end(p_user_id) OR ledger_subscription_due_at(p_user_id) <= p_now THEN
        v_standing := ledger_lapse_grants(
            p_user_id, p_now, ledger_burn_down(p_user_id, p_now, NULL, ledger_may_skip(p_user_id)));
        SELECT NULL, sum(lapse.credits), max(lapse.expired_at) INTO r FROM unnest(v_standing.lapses) AS lapse;
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
