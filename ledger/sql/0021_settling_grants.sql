-- Settling grants: what has expired since the last entry, for readers, and written down (docs/decisions/0031, 0039).

-- Add what has happened since the last entry, each at its own time: holds that run out, grants that end, periods that
-- begin, in this order where times are equal. `r` stands at the last entry.
--
-- Once a grant's time has come only as much of it stays as open holds reserve, soonest expiry first, and what holds
-- reserve no longer is gone at that moment. First of all goes what grants kept for holds that have meanwhile come to an
-- end, and what was given back to grants whose time has come.
-- A grant of a period has no entry yet: that of the n-th period is -(2n - 1), and the one that stays longer -2n.
CREATE FUNCTION ledger_lapse_grants(p_user_id bigint, p_now timestamptz, r ledger_grants_standing)
RETURNS ledger_grants_standing LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_balance ledger_balance;
    v_grants ledger_grant_state[] := r.grants;
    v_at timestamptz;
    v_seq bigint;           -- the place of the latest entry that this leads to
    v_total numeric;        -- the balance after it
    v_kept numeric;         -- what is left of grants whose time has come
    v_pile integer[];       -- the places of those, the latest expiry on top, and
    v_top integer;          -- where that is
    v_part numeric;
    v_paid numeric;
    e record;
    i integer;
BEGIN
    SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id;
    v_at := v_balance.updated_at;
    v_seq := v_balance.seq;
    v_total := v_balance.balance;
    -- A grant that had nothing left when it ended, and was given something back since, stands among those that ended.
    FOR i IN 1 .. cardinality(v_grants) LOOP
        IF v_grants[i].ran_out_seq IS NULL AND v_grants[i].expires_at <= v_at THEN
            v_grants[i].ran_out_seq := v_seq;
        END IF;
    END LOOP;
    SELECT coalesce(sum(remaining), 0), coalesce(array_agg(place::integer ORDER BY expires_at, place), '{}'), count(*)
    INTO v_kept, v_pile, v_top
    FROM unnest(v_grants) WITH ORDINALITY AS g(
        entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq, expired_at,
        created_at, place)
    WHERE ran_out_seq IS NOT NULL AND remaining > 0;
    v_grants := v_grants || ARRAY(
        SELECT ROW(g.entry_id, 0, g.credits, 0, 0, 'paid', 50, due.starts_at, g.until, NULL, NULL,
                   due.starts_at)::ledger_grant_state
        FROM ledger_periods_due(p_user_id, p_now) WITH ORDINALITY AS due(
            subscription_id, status, plan_id, billing_interval, credits_per_period, rollover_cap, months_elapsed,
            starts_at, ends_at, next_grant_at, begins, credits, expires_at, kept, kept_until, place)
        CROSS JOIN LATERAL (VALUES
            (1 - 2 * place, credits - kept, expires_at), (-2 * place, kept, kept_until)
        ) AS g(entry_id, credits, until)
        WHERE g.credits > 0 ORDER BY g.entry_id DESC);

    FOR e IN
        WITH g AS (
            SELECT entry_id, effective_at, expires_at, ran_out_seq, place::integer
            FROM unnest(v_grants) WITH ORDINALITY AS g(
                entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq,
                expired_at, created_at, place)
        )
        SELECT '-infinity'::timestamptz AS at, 0::numeric AS freed, NULL::integer AS place, 0 AS kind
        UNION ALL
        SELECT expires_at, credits - captured, NULL, 0 FROM ledger_hold
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= p_now
        UNION ALL
        SELECT expires_at, 0, place, 1 FROM g WHERE expires_at <= p_now AND ran_out_seq IS NULL
        UNION ALL
        SELECT effective_at, 0, place, 2 FROM g WHERE entry_id < 0
        ORDER BY at, kind, place
    LOOP
        v_at := greatest(v_at, e.at);
        v_balance.reserved := v_balance.reserved - e.freed;
        i := e.place;
        IF e.kind = 2 THEN
            v_part := greatest(least(v_grants[i].amount, 999999999.999999 - v_total), 0);  -- all that a balance can hold
            v_grants[i].amount := v_part;
            CONTINUE WHEN v_part = 0;
            v_seq := v_seq + 1;
            v_total := v_total + v_part;
            v_paid := least(r.overdrawn, v_part);
            r.overdrawn := r.overdrawn - v_paid;
            v_grants[i].remaining := v_part - v_paid;
            v_grants[i].seq := v_seq;
            v_grants[i].created_at := v_at;
            r.lapses := array_append(r.lapses, ROW(v_grants[i].entry_id, -v_part, v_at)::ledger_lapse);
            IF v_paid > 0 THEN
                r.draws := array_append(
                    r.draws, ROW(v_grants[i].entry_id, v_seq, v_seq, v_paid, v_paid, v_paid)::ledger_grant_draw);
            END IF;
            CONTINUE;
        END IF;
        IF e.kind = 1 THEN
            v_grants[i].ran_out_seq := v_seq;
            IF v_grants[i].remaining > 0 THEN
                v_kept := v_kept + v_grants[i].remaining;
                v_top := v_top + 1;
                v_pile[v_top] := i;
            END IF;
        END IF;
        WHILE v_kept > v_balance.reserved AND v_top > 0 LOOP
            i := v_pile[v_top];
            v_part := least(v_grants[i].remaining, v_kept - v_balance.reserved);
            v_kept := v_kept - v_part;
            v_seq := v_seq + 1;
            v_total := v_total - v_part;
            v_grants[i].remaining := v_grants[i].remaining - v_part;
            v_grants[i].expired := v_grants[i].expired + v_part;
            v_grants[i].expired_at := v_at;
            IF v_grants[i].remaining = 0 THEN
                v_top := v_top - 1;
            END IF;
            r.lapses := array_append(r.lapses, ROW(v_grants[i].entry_id, v_part, v_at)::ledger_lapse);
        END LOOP;
    END LOOP;
    r.grants := v_grants;
    RETURN r;
END $$;

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
-- is settled, not even if nothing is left of them: refunds that are not settled yet may give them something back.
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

-- What a customer's grants have lost by `p_now` since anything was settled, less what periods that began meanwhile have
-- brought: credits, and when the last of that happened.
-- All NULL: nothing. For readers, whether or not a job has run.
CREATE OR REPLACE FUNCTION ledger_lapsed(p_user_id bigint, p_now timestamptz) RETURNS ledger_lapse
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_standing ledger_grants_standing;
    r ledger_lapse;
BEGIN
    IF ledger_has_grants_that_end(p_user_id) OR ledger_subscription_due_at(p_user_id) <= p_now THEN
        v_standing := ledger_lapse_grants(
            p_user_id, p_now, ledger_burn_down(p_user_id, p_now, NULL, ledger_may_skip(p_user_id)));
        SELECT NULL, sum(lapse.credits), max(lapse.expired_at) INTO r FROM unnest(v_standing.lapses) AS lapse;
    END IF;
    RETURN r;
END $$;

-- Write down how grants stand. The caller holds the balance row.
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
    FROM unnest(r.draws) WITH ORDINALITY
        AS d(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
    ORDER BY place;
    IF r.seq IS NOT NULL THEN
        INSERT INTO ledger_grantprogress (user_id, seq, overdrawn) VALUES (p_user_id, r.seq, r.overdrawn)
        ON CONFLICT (user_id) DO UPDATE SET seq = excluded.seq, overdrawn = excluded.overdrawn;
    END IF;
END $$;

-- Settle every hold and every grant of the customer that has expired, and begin every period that is due, in the order
-- of their times; returns how many holds there were. The caller holds the balance row. What a grant loses is one debit
-- and what a period brings one credit or two, made at their own times, though never before the entry before them.
--
-- A history that is longer than what is settled at once is settled so far, and what has expired is settled without the
-- rest of it, if that may be skipped; its turn comes with later calls. `balance_notes_crossing` lets one come every 1024
-- entries, so that it never grows longer.
CREATE OR REPLACE FUNCTION ledger_settle_expired(p_user_id bigint) RETURNS integer LANGUAGE plpgsql AS $$
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
