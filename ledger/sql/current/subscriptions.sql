-- Subscriptions: which periods are due, and what each brings (docs/decisions/0034).
--
-- Promises that what a period brings follows from the subscription alone, so it is the same whenever somebody asks.
-- Called by ledger/services/subscriptions/changes.py:lock_and_renew (ledger_renew), ledger/selectors.py
-- (ledger_subscription_due_at), and by settling.sql and grants_expiry.sql when a balance is settled.
-- Locks: ledger_balance, by ledger_renew; the others only read.

-- One step of a subscription that is due, and how it stands after it: a period begins, or (`begins` false) it has
-- ended.
--   credits, expires_at    what the period brings, and until when; of these
--   kept, kept_until       stay one period longer than the others
CREATE TYPE ledger_due_period AS (
    subscription_id bigint, status text, plan_id bigint, billing_interval text, credits_per_period numeric,
    rollover_cap numeric, months_elapsed integer, starts_at timestamptz, ends_at timestamptz,
    next_grant_at timestamptz, begins boolean, credits numeric, expires_at timestamptz, kept numeric,
    kept_until timestamptz
);

-- The time so many months later, in UTC: on the month's last day where the month is shorter.
CREATE FUNCTION ledger_months_after(p_anchor timestamptz, p_months integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT (p_anchor AT TIME ZONE 'UTC' + make_interval(months => p_months)) AT TIME ZONE 'UTC'
$$;

CREATE FUNCTION ledger_months_of(p_interval text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_interval WHEN 'yearly' THEN 12 ELSE 1 END
$$;

-- `p_credits` for `p_part` of `p_whole`, rounded to six places, half up.
CREATE FUNCTION ledger_prorated(p_credits numeric, p_part interval, p_whole interval) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT round(
        div(2000000 * p_credits * extract(epoch FROM p_part) + extract(epoch FROM p_whole),
            2 * extract(epoch FROM p_whole)) / 1000000, 6)
$$;

-- When the customer's subscription takes its next step: the running period begins, if that is not written yet, or it
-- ends. NULL: never.
CREATE FUNCTION ledger_subscription_due_at(p_user_id bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN s.status = 'paused' THEN s.ends_at
        WHEN EXISTS (
            SELECT FROM ledger_subscriptionperiod p
            WHERE p.user_id = s.user_id AND p.subscription_id = s.id AND p.starts_at = s.current_period_start
        ) THEN s.current_period_end
        ELSE s.current_period_start
    END
    FROM accounts_subscription s
    WHERE s.user_id = p_user_id AND s.status IN ('active', 'paused') AND s.anchor_at IS NOT NULL
$$;

-- The steps of the customer's subscription that are due by `p_now`, in their order. What they bring hangs on the
-- subscription alone, so it is the same whenever somebody asks.
--
-- Of what a period brings, as much outlives its end as the cap says, counted together with what earlier periods
-- brought: each grant ends so many periods later that what has not ended never exceeds the cap, and whatever ends
-- sooner is spent first.
CREATE FUNCTION ledger_periods_due(p_user_id bigint, p_now timestamptz) RETURNS SETOF ledger_due_period
LANGUAGE plpgsql STABLE AS $$
DECLARE
    s accounts_subscription;
    d ledger_due_period;
    v_due timestamptz := ledger_subscription_due_at(p_user_id);
    v_whole timestamptz;    -- the end of the period if the subscription does not end before
    v_periods numeric;      -- that the credits outlive their own, all of them
BEGIN
    IF v_due IS NULL OR p_now IS NULL OR v_due > p_now THEN
        RETURN;
    END IF;
    SELECT * INTO s FROM accounts_subscription
    WHERE user_id = p_user_id AND status IN ('active', 'paused') AND anchor_at IS NOT NULL;
    d.subscription_id := s.id;
    d.begins := s.status = 'active' AND v_due = s.current_period_start;
    LOOP
        IF NOT d.begins THEN
            d.begins := s.status = 'active' AND NOT s.cancel_at_period_end
                AND (s.ends_at IS NULL OR s.ends_at > s.current_period_end);
            IF d.begins THEN
                s.months_elapsed := s.months_elapsed + ledger_months_of(s.billing_interval);
                s.current_period_start := s.current_period_end;
                IF s.pending_plan_id IS NOT NULL THEN
                    s.plan_id := s.pending_plan_id;
                    s.billing_interval := s.pending_interval;
                    s.credits_per_period := s.pending_credits;
                    s.rollover_cap := s.pending_rollover_cap;
                    s.pending_plan_id := NULL;
                END IF;
            ELSE
                s.status := CASE WHEN s.cancel_at_period_end THEN 'canceled' ELSE 'expired' END;
            END IF;
        END IF;
        d.status := s.status;
        d.plan_id := s.plan_id;
        d.billing_interval := s.billing_interval;
        d.credits_per_period := s.credits_per_period;
        d.rollover_cap := s.rollover_cap;
        d.months_elapsed := s.months_elapsed;
        d.starts_at := s.current_period_start;
        d.credits := 0;
        d.kept := 0;
        d.next_grant_at := NULL;
        IF NOT d.begins THEN
            d.ends_at := s.current_period_end;
            RETURN NEXT d;
            RETURN;
        END IF;

        v_whole := ledger_months_after(s.anchor_at, s.months_elapsed + ledger_months_of(s.billing_interval));
        s.current_period_end := least(v_whole, s.ends_at);
        d.ends_at := s.current_period_end;
        IF NOT s.cancel_at_period_end AND (s.ends_at IS NULL OR s.ends_at > d.ends_at) THEN
            d.next_grant_at := d.ends_at;
        END IF;
        d.credits := CASE WHEN d.ends_at = v_whole THEN s.credits_per_period
            ELSE ledger_prorated(s.credits_per_period, d.ends_at - d.starts_at, v_whole - d.starts_at) END;
        d.expires_at := NULL;
        d.kept_until := NULL;
        IF s.rollover_cap IS NOT NULL AND d.credits > 0 THEN
            v_periods := div(s.rollover_cap, d.credits);
            IF v_periods < 1200 THEN  -- a hundred years of months are for ever
                d.kept := s.rollover_cap - v_periods * d.credits;
                d.expires_at := CASE v_periods WHEN 0 THEN d.ends_at ELSE ledger_months_after(
                    s.anchor_at,
                    s.months_elapsed + (1 + v_periods::integer) * ledger_months_of(s.billing_interval)) END;
                d.kept_until := ledger_months_after(
                    s.anchor_at, s.months_elapsed + (2 + v_periods::integer) * ledger_months_of(s.billing_interval));
            END IF;
        END IF;
        RETURN NEXT d;
        EXIT WHEN s.current_period_end > p_now;
        d.begins := false;
    END LOOP;
END $$;

-- Write down the periods that have begun with the entries of their grants (`p_made`, two places each), and the last
-- step on the subscription. The caller has locked the balance row.
CREATE FUNCTION ledger_note_periods(p_user_id bigint, p_periods ledger_due_period[], p_made bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    d ledger_due_period := p_periods[cardinality(p_periods)];
BEGIN
    INSERT INTO ledger_subscriptionperiod (
        user_id, subscription_id, plan_id, starts_at, ends_at, credits, entry_id, kept_entry_id)
    SELECT p_user_id, subscription_id, plan_id, starts_at, ends_at,
        coalesce((SELECT sum(amount) FROM ledger_entry WHERE id IN (p_made[2 * place - 1], p_made[2 * place])), 0),
        p_made[2 * place - 1], p_made[2 * place]
    FROM unnest(p_periods) WITH ORDINALITY AS due(
        subscription_id, status, plan_id, billing_interval, credits_per_period, rollover_cap, months_elapsed,
        starts_at, ends_at, next_grant_at, begins, credits, expires_at, kept, kept_until, place)
    WHERE begins ORDER BY place;
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
END $$;

-- Bring a customer's subscription to where it stands now, and let the balance expect its next step; the balance row is
-- locked from here on. Returns the time.
CREATE FUNCTION ledger_renew(p_user_id bigint) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM ledger_lock_balance(p_user_id);
    PERFORM ledger_settle_expired(p_user_id);
    PERFORM ledger_collect_owed_credits(p_user_id);
    RETURN clock_timestamp();
END $$;
