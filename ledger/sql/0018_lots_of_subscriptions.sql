-- What periods bring happens when they begin, whether or not a job has run: what readers see, and what is written down.

-- Reckon, without writing anything, how a customer's lots stand at `p_now`: as every reader and every writer sees it.
--
-- Debits draw on lots by priority, soonest expiry, promotional before paid, effective, id. Once a lot's time has
-- come only as much of it stays as open holds reserve, soonest expiry first; captures draw on it before all others,
-- and what holds reserve no longer is gone at that moment. Holds run out before lots of the same moment.
-- What no lot covers (an overdraft) is paid by the next credits. With `p_most`, only so many entries further; without
-- `p_now`, nothing expires and no period begins.
-- Periods of the subscription that are due bring their lots in between, each at its own moment and after the lots that
-- end then. Such a lot has no entry yet: that of the n-th period is -(2n - 1), and the one that stays longer -2n. What
-- it brings stands among the lapses, negative.
CREATE OR REPLACE FUNCTION ledger_reckon(
    p_user_id bigint, p_now timestamptz, p_most bigint DEFAULT NULL
) RETURNS ledger_reckoning LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_balance ledger_balance;
    r ledger_reckoning;
    v_from bigint;
    v_gives_back boolean;
    v_lots ledger_lot[];
    v_entries bigint[];
    v_left numeric[];
    v_out boolean[];
    v_first integer := 1;   -- no lot before it has anything left
    v_kept numeric := 0;    -- what is left of lots that have run out
    v_draws ledger_lot_draw[] := '{}';
    v_draw ledger_lot_draw; -- the latest stretch, not yet among the others
    v_part numeric;
    v_need numeric;
    v_skip numeric;
    v_own numeric;          -- what of a refund no lot had paid
    v_reserved numeric;
    v_at timestamptz;
    v_seq bigint;           -- the place of the latest entry that this leads to
    v_total numeric;        -- the balance after it
    e record;
    s record;
    i integer;
BEGIN
    SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id;
    SELECT seq, overdrawn INTO v_from, r.overdrawn FROM ledger_grantprogress WHERE user_id = p_user_id;
    v_from := coalesce(v_from, 0);
    r.overdrawn := coalesce(r.overdrawn, 0);
    r.seq := least(v_balance.seq, v_from + p_most);
    r.lapses := '{}';

    v_gives_back := EXISTS (
        SELECT FROM ledger_entry WHERE user_id = p_user_id AND type = 'credit' AND seq > v_from AND seq <= r.seq
            AND reverses_id IS NOT NULL);
    -- Entries without a lot open one with the usual terms; a refund does only for what no lot had paid.
    SELECT coalesce(array_agg(lot ORDER BY
        (lot).priority, (lot).expires_at NULLS LAST, (lot).category DESC, (lot).effective_at, (lot).entry_id), '{}')
    INTO v_lots FROM (
        SELECT ROW(entry_id, seq, amount, CASE WHEN seq > v_from THEN 0 ELSE remaining END, expired, category,
                   priority, effective_at, expires_at, has_run_out, expired_at, created_at)::ledger_lot AS lot
        FROM ledger_grant
        WHERE user_id = p_user_id AND seq <= r.seq AND (seq > v_from OR remaining > 0 OR v_gives_back)
        UNION ALL
        SELECT ROW(id, seq, CASE WHEN reverses_id IS NULL THEN amount ELSE 0 END, 0, 0,
                   CASE WHEN reason IN ('grant', 'goodwill') THEN 'promotional' ELSE 'paid' END,
                   50, created_at, NULL, false, NULL, created_at)::ledger_lot
        FROM ledger_entry
        WHERE user_id = p_user_id AND type IN ('credit', 'adjustment') AND seq > v_from AND seq <= r.seq AND amount > 0
            AND NOT EXISTS (SELECT FROM ledger_grant g WHERE g.entry_id = ledger_entry.id)
    ) found;
    SELECT array_agg((lot).entry_id ORDER BY place), array_agg((lot).remaining ORDER BY place),
        array_agg((lot).has_run_out ORDER BY place),
        coalesce(sum((lot).remaining) FILTER (WHERE (lot).has_run_out), 0)
    INTO v_entries, v_left, v_out, v_kept
    FROM (SELECT v_lots[place] AS lot, place FROM generate_subscripts(v_lots, 1) AS place) found;

    FOR e IN
        SELECT id, seq, reason, amount, reverses_id FROM ledger_entry
        WHERE user_id = p_user_id AND seq > v_from AND seq <= r.seq ORDER BY seq
    LOOP
        IF e.amount < 0 THEN
            v_need := -e.amount;
            FOR v_pass IN CASE WHEN v_kept > 0 AND e.reason = 'capture' THEN 1 ELSE 2 END .. 2 LOOP
                i := CASE v_pass WHEN 1 THEN 1 ELSE v_first END;
                WHILE v_need > 0 AND i <= cardinality(v_left) LOOP
                    IF v_left[i] > 0 AND v_out[i] = (v_pass = 1) THEN
                        v_part := least(v_left[i], v_need);
                        IF v_need = -e.amount AND v_draw.entry_id = v_entries[i] AND v_draw.last_seq = e.seq - 1 THEN
                            v_draw.last_seq := e.seq;
                            v_draw.last_credits := v_part;
                            v_draw.credits := v_draw.credits + v_part;
                        ELSE
                            IF v_draw.entry_id IS NOT NULL THEN
                                v_draws := array_append(v_draws, v_draw);
                            END IF;
                            v_draw := ROW(v_entries[i], e.seq, e.seq, v_part, v_part, v_part);
                        END IF;
                        v_left[i] := v_left[i] - v_part;
                        v_need := v_need - v_part;
                        IF v_out[i] THEN
                            v_kept := v_kept - v_part;
                        END IF;
                    ELSIF i = v_first AND v_left[i] = 0 THEN
                        v_first := i + 1;
                    END IF;
                    i := i + 1;
                END LOOP;
            END LOOP;
            r.overdrawn := r.overdrawn + v_need;
            CONTINUE;
        END IF;

        IF v_draw.entry_id IS NOT NULL THEN
            v_draws := array_append(v_draws, v_draw);
        END IF;
        v_draw := NULL;
        v_part := least(r.overdrawn, e.amount);  -- what is overdrawn is paid first, whatever comes in
        r.overdrawn := r.overdrawn - v_part;
        i := array_position(v_entries, e.id);
        IF e.reverses_id IS NULL THEN
            v_left[i] := e.amount - v_part;
            v_first := least(v_first, i);
            IF v_part > 0 THEN
                v_draws := array_append(v_draws, ROW(e.id, e.seq, e.seq, v_part, v_part, v_part)::ledger_lot_draw);
            END IF;
            CONTINUE;
        END IF;

        -- A refund: what earlier ones gave back, and what it paid of an overdraft, is no longer to be given back.
        v_need := e.amount - v_part;
        v_skip := v_part + (
            SELECT coalesce(sum(amount), 0) FROM ledger_entry WHERE reverses_id = e.reverses_id AND seq < e.seq);
        v_own := 0;
        FOR s IN SELECT * FROM ledger_shares(p_user_id, e.reverses_id, v_draws) LOOP
            v_part := least(greatest(s.credits - v_skip, 0), v_need);
            v_skip := greatest(v_skip - s.credits, 0);
            v_need := v_need - v_part;
            IF s.entry_id IS NULL THEN
                v_own := v_part;
            END IF;
            CONTINUE WHEN v_part = 0 OR s.entry_id IS NULL;
            i := array_position(v_entries, s.entry_id);
            v_left[i] := v_left[i] + v_part;
            v_first := least(v_first, i);
            v_draws := array_append(
                v_draws, ROW(s.entry_id, e.seq, e.seq, -v_part, -v_part, -v_part)::ledger_lot_draw);
            IF v_out[i] THEN
                v_kept := v_kept + v_part;
            END IF;
        END LOOP;
        IF v_own > 0 THEN
            i := array_position(v_entries, e.id);
            v_lots[i].amount := v_own;
            v_left[i] := v_own;
            v_first := least(v_first, i);
        END IF;
    END LOOP;
    r.draws := CASE WHEN v_draw.entry_id IS NULL THEN v_draws ELSE array_append(v_draws, v_draw) END;

    -- Then what has expired since the last entry, each at its own moment. First of all what lots that have run out
    -- kept for holds that have meanwhile come to an end.
    v_at := v_balance.updated_at;
    v_reserved := v_balance.reserved;
    v_seq := v_balance.seq;
    v_total := v_balance.balance;
    IF p_now IS NOT NULL AND r.seq = v_balance.seq THEN
        FOR s IN
            SELECT lot.entry_id, lot.credits, lot.until, due.starts_at
            FROM ledger_periods_due(p_user_id, p_now) WITH ORDINALITY AS due(
                subscription_id, status, plan_id, billing_interval, credits_per_period, rollover_cap, months_elapsed,
                starts_at, ends_at, next_grant_at, begins, credits, expires_at, kept, kept_until, place)
            CROSS JOIN LATERAL (VALUES
                (1 - 2 * place, credits - kept, expires_at), (-2 * place, kept, kept_until)
            ) AS lot(entry_id, credits, until)
            WHERE lot.credits > 0 ORDER BY lot.entry_id DESC
        LOOP
            v_lots := array_append(v_lots, ROW(
                s.entry_id, 0, s.credits, 0, 0, 'paid', 50, s.starts_at, s.until, false, NULL, s.starts_at
            )::ledger_lot);
            v_entries := array_append(v_entries, s.entry_id);
            v_left := array_append(v_left, 0::numeric);
            v_out := array_append(v_out, false);
        END LOOP;
    END IF;
    FOR e IN
        SELECT '-infinity'::timestamptz AS at, 0::numeric AS freed, NULL::integer AS place, 0 AS kind
        WHERE p_now IS NOT NULL AND r.seq = v_balance.seq
        UNION ALL
        SELECT expires_at, credits - captured, NULL, 0 FROM ledger_hold
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= p_now AND r.seq = v_balance.seq
        UNION ALL
        SELECT v_lots[place].expires_at, 0, place, 1 FROM generate_subscripts(v_lots, 1) AS place
        WHERE v_lots[place].expires_at <= p_now AND NOT v_out[place] AND r.seq = v_balance.seq
        UNION ALL
        SELECT v_lots[place].effective_at, 0, place, 2 FROM generate_subscripts(v_lots, 1) AS place
        WHERE v_lots[place].entry_id < 0
        ORDER BY at, kind, place
    LOOP
        v_at := greatest(v_at, e.at);
        v_reserved := v_reserved - e.freed;
        IF e.kind = 2 THEN
            i := e.place;
            v_part := greatest(least(v_lots[i].amount, 999999999.999999 - v_total), 0);  -- all that a balance can hold
            v_lots[i].amount := v_part;
            CONTINUE WHEN v_part = 0;
            v_seq := v_seq + 1;
            v_total := v_total + v_part;
            v_left[i] := v_part - least(r.overdrawn, v_part);
            r.overdrawn := r.overdrawn - (v_part - v_left[i]);
            v_lots[i].seq := v_seq;
            v_lots[i].created_at := v_at;
            r.lapses := array_append(r.lapses, ROW(v_entries[i], -v_part, v_at)::ledger_lapse);
            IF v_left[i] < v_part THEN
                v_part := v_part - v_left[i];
                r.draws := array_append(
                    r.draws, ROW(v_entries[i], v_seq, v_seq, v_part, v_part, v_part)::ledger_lot_draw);
            END IF;
            CONTINUE;
        END IF;
        IF e.kind = 1 THEN
            v_out[e.place] := true;
            v_kept := v_kept + v_left[e.place];
        END IF;
        WHILE v_kept > v_reserved LOOP
            SELECT place INTO i FROM generate_subscripts(v_left, 1) AS place
            WHERE v_out[place] AND v_left[place] > 0 ORDER BY v_lots[place].expires_at DESC, place DESC LIMIT 1;
            EXIT WHEN i IS NULL;
            v_part := least(v_left[i], v_kept - v_reserved);
            v_left[i] := v_left[i] - v_part;
            v_kept := v_kept - v_part;
            v_seq := v_seq + 1;
            v_total := v_total - v_part;
            v_lots[i].expired := v_lots[i].expired + v_part;
            v_lots[i].expired_at := v_at;
            r.lapses := array_append(r.lapses, ROW(v_entries[i], v_part, v_at)::ledger_lapse);
        END LOOP;
    END LOOP;

    FOR i IN 1 .. cardinality(v_lots) LOOP
        v_lots[i].remaining := v_left[i];
        v_lots[i].has_run_out := v_out[i];
    END LOOP;
    r.lots := v_lots;
    RETURN r;
END $$;

-- What a customer's lots have lost by `p_now` since anything was settled, less what periods that began meanwhile have
-- brought: credits, and when the last of that happened.
-- All NULL: nothing. For readers, who may ask whether or not a job has run.
CREATE OR REPLACE FUNCTION ledger_lapsed(p_user_id bigint, p_now timestamptz) RETURNS ledger_lapse
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_lapse;
BEGIN
    IF EXISTS (SELECT FROM ledger_grant WHERE user_id = p_user_id AND expires_at IS NOT NULL)
        OR ledger_subscription_due_at(p_user_id) <= p_now THEN
        SELECT NULL, sum(lapse.credits), max(lapse.expired_at) INTO r
        FROM unnest((ledger_reckon(p_user_id, p_now)).lapses) AS lapse;
    END IF;
    RETURN r;
END $$;

-- Settle every hold and every lot of the customer that has expired, and begin every period that is due, in the order of
-- their moments; answers how many holds there were. The caller holds the balance row. What a lot loses is one debit and
-- what a period brings one credit or two, made at their own moments, though never before the entry that stands before.
CREATE OR REPLACE FUNCTION ledger_settle_expired(p_user_id bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    b ledger_balance;
    e ledger_entry;
    r ledger_reckoning;
    v_periods ledger_due_period[] := '{}';
    v_made bigint[] := '{}';    -- the entries of the lots that periods bring, in the order of their stand-ins
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
    IF cardinality(v_periods) > 0
        OR EXISTS (SELECT FROM ledger_grant WHERE user_id = p_user_id AND expires_at IS NOT NULL) THEN
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
                lapse.entry_id, b.seq, b.seq, lapse.credits, lapse.credits, lapse.credits)::ledger_lot_draw);
        ELSE
            v_made[-lapse.entry_id] := e.id;
        END IF;
        r.seq := b.seq;
    END LOOP;
    IF r.lots IS NOT NULL THEN
        r.lots := ARRAY(
            SELECT ROW(CASE WHEN entry_id < 0 THEN v_made[-entry_id] ELSE entry_id END, seq, amount, remaining, expired,
                       category, priority, effective_at, expires_at, has_run_out, expired_at, created_at)::ledger_lot
            FROM unnest(r.lots));
        r.draws := ARRAY(
            SELECT ROW(CASE WHEN entry_id < 0 THEN v_made[-entry_id] ELSE entry_id END, first_seq, last_seq,
                       first_credits, last_credits, credits)::ledger_lot_draw
            FROM unnest(r.draws) WITH ORDINALITY
                AS draw(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
            ORDER BY place);
        PERFORM ledger_note_reckoning(p_user_id, r);
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
        -- A lot that keeps something for holds stays due: whoever comes next looks whether it still may.
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
