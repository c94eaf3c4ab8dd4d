-- Expiry of grants: what has ended and begun since the last entry (docs/decisions/0031, 0034 and 0039).
--
-- Promises that each thing happens at its own time, whenever it is worked out.
-- Called by ledger_settle_history and ledger_expired_credits (settling.sql), after ledger_burn_down. Reads only; locks
-- nothing.

-- The grants of periods that are due by `p_now`. They have no entries yet: that of the n-th period is -(2n - 1), and
-- the one that stays longer -2n.
CREATE FUNCTION ledger_grants_of_due_periods(p_user_id bigint, p_now timestamptz) RETURNS ledger_grant_state[]
LANGUAGE sql STABLE AS $$
    SELECT ARRAY(
        SELECT ROW(g.entry_id, 0, g.credits, 0, 0, 'paid', 50, due.starts_at, g.until, NULL, NULL,
                   due.starts_at)::ledger_grant_state
        FROM ledger_periods_due(p_user_id, p_now) WITH ORDINALITY AS due(
            subscription_id, status, plan_id, billing_interval, credits_per_period, rollover_cap, months_elapsed,
            starts_at, ends_at, next_grant_at, begins, credits, expires_at, kept, kept_until, place)
        CROSS JOIN LATERAL (VALUES
            (1 - 2 * place, credits - kept, expires_at), (-2 * place, kept, kept_until)
        ) AS g(entry_id, credits, until)
        WHERE g.credits > 0 ORDER BY g.entry_id DESC)
$$;

-- What happens to grants by `p_now`, in the order of time, `freed` credits of holds at a time. Where times are equal
-- holds expire (kind 0) before grants end (1), and these before periods begin (2). First of all comes a step at which
-- nothing happens.
CREATE FUNCTION ledger_grant_events(
    p_user_id bigint, p_now timestamptz, p_grants ledger_grant_state[]
) RETURNS TABLE (at timestamptz, freed numeric, place integer, kind integer) LANGUAGE sql STABLE AS $$
    WITH g AS (
        SELECT entry_id, effective_at, expires_at, ran_out_seq, place::integer
        FROM unnest(p_grants) WITH ORDINALITY AS g(
            entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq,
            expired_at, created_at, place)
    )
    SELECT '-infinity'::timestamptz AS at, 0::numeric, NULL::integer AS place, 0 AS kind
    UNION ALL
    SELECT expires_at, credits - captured, NULL, 0 FROM ledger_hold
    WHERE user_id = p_user_id AND status = 'open' AND expires_at <= p_now
    UNION ALL
    SELECT expires_at, 0, g.place, 1 FROM g WHERE expires_at <= p_now AND ran_out_seq IS NULL
    UNION ALL
    SELECT effective_at, 0, g.place, 2 FROM g WHERE entry_id < 0
    ORDER BY 1, 4, 3
$$;

-- Add what has happened since the last entry, each at its own time: holds that expire, grants that end, periods that
-- begin, in this order where times are equal. `r` stands at the last entry.
--
-- Once a grant's time has come only as much of it stays as open holds reserve, soonest expiry first, and what holds
-- reserve no longer is gone at that time. First of all goes what grants kept for holds that have meanwhile come to an
-- end, and what was given back to grants whose time has come.
CREATE FUNCTION ledger_grants_at(p_user_id bigint, p_now timestamptz, r ledger_grants_standing)
RETURNS ledger_grants_standing LANGUAGE plpgsql STABLE AS $$
DECLARE
    b ledger_balance;       -- as each entry that this leads to will leave it
    v_grants ledger_grant_state[] := r.grants;
    v_at timestamptz;
    v_kept numeric;         -- what is left of grants whose time has come
    v_stack integer[];       -- the places of those, the latest expiry on top, and
    v_top integer;          -- where that is
    v_part numeric;
    v_paid numeric;
    e record;
    i integer;
BEGIN
    SELECT * INTO b FROM ledger_balance WHERE user_id = p_user_id;
    v_at := b.updated_at;
    -- A grant that had nothing left when it ended, and was given something back since, stands among those that ended.
    FOR i IN 1 .. cardinality(v_grants) LOOP
        IF v_grants[i].ran_out_seq IS NULL AND v_grants[i].expires_at <= v_at THEN
            v_grants[i].ran_out_seq := b.seq;
        END IF;
    END LOOP;
    SELECT coalesce(sum(remaining), 0), coalesce(array_agg(place::integer ORDER BY expires_at, place), '{}'), count(*)
    INTO v_kept, v_stack, v_top
    FROM unnest(v_grants) WITH ORDINALITY AS g(
        entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq, expired_at,
        created_at, place)
    WHERE ran_out_seq IS NOT NULL AND remaining > 0;
    v_grants := v_grants || ledger_grants_of_due_periods(p_user_id, p_now);

    FOR e IN SELECT * FROM ledger_grant_events(p_user_id, p_now, v_grants) LOOP
        v_at := greatest(v_at, e.at);
        b.reserved := b.reserved - e.freed;
        i := e.place;
        IF e.kind = 2 THEN
            v_part := greatest(least(v_grants[i].amount, 999999999.999999 - b.balance), 0);  -- all that a balance can hold
            v_grants[i].amount := v_part;
            CONTINUE WHEN v_part = 0;
            b.seq := b.seq + 1;
            b.balance := b.balance + v_part;
            v_paid := least(r.overdrawn, v_part);
            r.overdrawn := r.overdrawn - v_paid;
            v_grants[i].remaining := v_part - v_paid;
            v_grants[i].seq := b.seq;
            v_grants[i].created_at := v_at;
            r.expiries := array_append(r.expiries, ROW(v_grants[i].entry_id, -v_part, v_at)::ledger_grant_expiry);
            IF v_paid > 0 THEN
                r.drawn := array_append(
                    r.drawn, ROW(v_grants[i].entry_id, b.seq, b.seq, v_paid, v_paid, v_paid)::ledger_grant_draw);
            END IF;
            CONTINUE;
        END IF;
        IF e.kind = 1 THEN
            v_grants[i].ran_out_seq := b.seq;
            IF v_grants[i].remaining > 0 THEN
                v_kept := v_kept + v_grants[i].remaining;
                v_top := v_top + 1;
                v_stack[v_top] := i;
            END IF;
        END IF;
        WHILE v_kept > b.reserved AND v_top > 0 LOOP
            i := v_stack[v_top];
            v_part := least(v_grants[i].remaining, v_kept - b.reserved);
            v_kept := v_kept - v_part;
            b.seq := b.seq + 1;
            b.balance := b.balance - v_part;
            v_grants[i].remaining := v_grants[i].remaining - v_part;
            v_grants[i].expired := v_grants[i].expired + v_part;
            v_grants[i].expired_at := v_at;
            IF v_grants[i].remaining = 0 THEN
                v_top := v_top - 1;
            END IF;
            r.expiries := array_append(r.expiries, ROW(v_grants[i].entry_id, v_part, v_at)::ledger_grant_expiry);
        END LOOP;
    END LOOP;
    r.grants := v_grants;
    RETURN r;
END $$;
