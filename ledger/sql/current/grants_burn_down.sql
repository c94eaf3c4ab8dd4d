-- Burn-down of grants: which debits drew on which grants, in work that is bounded whatever a history holds
-- (docs/decisions/0031 and 0039).
--
-- Promises the same answer for the same ledger, whether it was settled in one go or in many.
-- Between two entries that are not debits, debits draw on the same grants in the same order, so their sum is enough: it
-- is the difference of two balances, however many they are. What is worked through one by one is therefore every
-- credit, refund and adjustment ("move") since the last time, and the cost of each grows with the logarithm of the
-- history alone.
-- Called by grants.sql and balances.sql. Reads only; locks nothing.

-- One step of the settlement, and the balance before it. `seq` is its place; a step without `id` is no entry.
--   reversed_seq, reversed_amount    the entry that it takes back
--   grant_id                         the grant that it expires: its draw is written already
--   kind                             0: the time of grant `grant_id` had come before; 1: an entry; 2: the end
CREATE TYPE ledger_grant_move AS (
    seq bigint, kind integer, id bigint, amount numeric, before numeric, reason text, reverses_id bigint,
    reversed_seq bigint, reversed_amount numeric, grant_id bigint, created_at timestamptz
);

CREATE FUNCTION ledger_balance_at(p_user_id bigint, p_seq bigint) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT balance_after FROM ledger_entry WHERE user_id = p_user_id AND seq = p_seq), 0)
$$;

-- The draws that an entry has a part in.
CREATE FUNCTION ledger_draws_at(p_user_id bigint, p_seq bigint) RETURNS SETOF ledger_grantdraw
LANGUAGE sql STABLE AS $$
    SELECT * FROM ledger_grantdraw WHERE user_id = p_user_id AND last_seq = p_seq
    UNION ALL
    SELECT * FROM ledger_grantdraw
    WHERE user_id = p_user_id AND first_seq <= p_seq AND last_seq = (
        SELECT min(last_seq) FROM ledger_grantdraw WHERE user_id = p_user_id AND last_seq > p_seq)
$$;

-- The first place in a run of debits (p_first to p_last) by which they have drawn `p_credits`. `p_before`: the balance
-- before the run.
CREATE FUNCTION ledger_place_of_draw(
    p_user_id bigint, p_first bigint, p_last bigint, p_before numeric, p_credits numeric
) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_low bigint := p_first;
    v_high bigint := p_last;
    v_middle bigint;
BEGIN
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high) / 2;
        IF p_before - ledger_balance_at(p_user_id, v_middle) >= p_credits THEN
            v_high := v_middle;
        ELSE
            v_low := v_middle + 1;
        END IF;
    END LOOP;
    RETURN v_low;
END $$;

-- How many of rising values are at most `p_value`: what width_bucket() tells, which copies the array first.
CREATE FUNCTION ledger_places_to(p_values bigint[], p_value bigint) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_low integer := 0;
    v_high integer := cardinality(p_values);
    v_middle integer;
BEGIN
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high + 1) / 2;
        IF p_values[v_middle] <= p_value THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle - 1;
        END IF;
    END LOOP;
    RETURN v_low;
END $$;

-- The next moves after a place, in their order: at most `p_most` of them (NULL: all).
CREATE FUNCTION ledger_grant_moves(p_user_id bigint, p_from bigint, p_most bigint) RETURNS ledger_grant_move[]
LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(ROW(
        e.seq, 1, e.id, e.amount, e.balance_after - e.amount, e.reason, e.reverses_id, o.seq, o.amount, found.grant_id,
        e.created_at)::ledger_grant_move ORDER BY e.seq), '{}')
    FROM (
        SELECT seq, grant_id FROM (
            (SELECT seq, NULL::bigint AS grant_id FROM ledger_entry
             WHERE user_id = p_user_id AND type = 'credit' AND seq > p_from ORDER BY seq LIMIT p_most)
            UNION ALL
            (SELECT seq, NULL FROM ledger_entry
             WHERE user_id = p_user_id AND type = 'adjustment' AND seq > p_from ORDER BY seq LIMIT p_most)
            UNION ALL
            -- What a settlement that left a part of the past for later has written of what expired since.
            (SELECT last_seq, grant_id FROM ledger_grantdraw
             WHERE user_id = p_user_id AND last_seq > p_from ORDER BY last_seq LIMIT p_most)
        ) all_kinds ORDER BY seq LIMIT p_most
    ) found
    JOIN ledger_entry e ON e.user_id = p_user_id AND e.seq = found.seq
    LEFT JOIN ledger_entry o ON o.id = e.reverses_id
$$;

-- The grants that moves after `p_from` may concern, in the order in which they are spent.
--
-- Of those that stand since before, only as many as debits of `p_need` credits can reach, those whose time has come by
-- `p_now`, and those that refunds go back to. Entries without a row open a grant with the usual terms; a refund does
-- only for what no grant had paid. With `p_skips`, grant 0 stands for all that stand since before.
CREATE FUNCTION ledger_grants_concerned(
    p_user_id bigint, p_from bigint, p_moves ledger_grant_move[], p_need numeric, p_now timestamptz, p_skips boolean
) RETURNS ledger_grant_state[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_before bigint[] := '{}';
    v_grants ledger_grant_state[];
    v_within numeric;
    v_most integer;
BEGIN
    IF NOT p_skips THEN
        v_within := 0;
        FOREACH v_most IN ARRAY '{64, 4096, NULL}'::integer[] LOOP
            EXIT WHEN v_within >= p_need;
            SELECT array_agg(entry_id), coalesce(sum(remaining), 0) INTO v_before, v_within FROM (
                SELECT entry_id, remaining FROM ledger_grant
                WHERE user_id = p_user_id AND remaining > 0 AND seq <= p_from AND NOT has_run_out
                ORDER BY priority, expires_at, category DESC, effective_at, entry_id
                LIMIT v_most
            ) reached;
            EXIT WHEN coalesce(cardinality(v_before), 0) < v_most;
        END LOOP;
        v_before := v_before || ARRAY(
            SELECT entry_id FROM ledger_grant
            WHERE user_id = p_user_id AND remaining > 0 AND expires_at <= coalesce(p_now, clock_timestamp())
                AND seq <= p_from);
        IF EXISTS (SELECT FROM unnest(p_moves) WHERE reverses_id IS NOT NULL) THEN
            v_before := v_before || ARRAY(
                SELECT d.grant_id
                FROM unnest(p_moves) m
                CROSS JOIN LATERAL (
                    SELECT m.reversed_seq AS seq WHERE m.reversed_amount < 0
                    UNION ALL
                    SELECT t.seq FROM ledger_entry t
                    WHERE m.reversed_amount > 0 AND t.reverses_id = m.reverses_id AND t.amount < 0 AND t.seq < m.seq
                ) t
                CROSS JOIN LATERAL ledger_draws_at(p_user_id, t.seq) d
                WHERE m.amount > 0 AND m.reverses_id IS NOT NULL AND t.seq <= p_from
                UNION ALL
                SELECT m.reverses_id FROM unnest(p_moves) m
                WHERE m.amount < 0 AND m.reversed_amount > 0 AND m.reversed_seq <= p_from);
        END IF;
    END IF;
    SELECT coalesce(array_agg(
        g ORDER BY (g).priority, (g).expires_at, (g).category DESC, (g).effective_at, (g).entry_id), '{}')
    INTO v_grants FROM (
        SELECT ROW(entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at,
                   ran_out_seq, expired_at, created_at)::ledger_grant_state AS g
        FROM ledger_grant WHERE entry_id = ANY (v_before) AND user_id = p_user_id AND seq <= p_from
        UNION ALL
        SELECT CASE WHEN g.entry_id IS NOT NULL THEN
            ROW(g.entry_id, g.seq, g.amount, 0, g.expired, g.category, g.priority, g.effective_at, g.expires_at,
                g.ran_out_seq, g.expired_at, g.created_at)::ledger_grant_state
        ELSE
            ROW(m.id, m.seq, CASE WHEN m.reverses_id IS NULL THEN m.amount ELSE 0 END, 0, 0,
                CASE WHEN m.reason IN ('grant', 'goodwill') THEN 'promotional' ELSE 'paid' END,
                50, m.created_at, NULL, NULL, NULL, m.created_at)::ledger_grant_state
        END
        FROM unnest(p_moves) m LEFT JOIN ledger_grant g ON g.entry_id = m.id
        WHERE m.amount > 0
        UNION ALL
        SELECT ROW(0, 0, 0, 0, 0, 'paid', 50, '-infinity', NULL, NULL, NULL, NULL)::ledger_grant_state WHERE p_skips
    ) found;
    RETURN v_grants;
END $$;

-- Let the entries since the last time draw on grants, without writing anything: at most `p_most` moves further.
--
-- A debit draws by priority, soonest expiry, promotional before paid, effective, id. A capture draws on grants before
-- all others whose time has come and which its hold kept; no other debit does. What takes a purchase back draws on the
-- purchase's own grant first, and what expires on its own alone. What no grant covers is overdrawn, and the next credits
-- pay it, whatever brings them. What is left of a credit that gives back goes to the grants that the debits drew on,
-- the last drawn first; what no grant had paid opens one. What was given back once is not given back again.
--
-- With `p_skips`, entries before the first grant with terms of its own since then are not looked at: until then the
-- balance alone says what there was, since all of it stays for ever and is spent alike.
CREATE FUNCTION ledger_burn_down(
    p_user_id bigint, p_now timestamptz, p_most bigint DEFAULT NULL, p_skips boolean DEFAULT false
) RETURNS ledger_grants_standing LANGUAGE plpgsql STABLE AS $$
DECLARE
    r ledger_grants_standing;
    v_from bigint;
    v_moves ledger_grant_move[];
    v_at bigint;            -- the place that is reached
    v_total numeric;        -- the balance after it
    v_end numeric;          -- and at the end
    v_grants ledger_grant_state[];
    v_draws ledger_grant_draw[] := '{}';
    v_ends bigint[] := '{}';    -- where each of them ends
    v_ids bigint[];         -- of the grants, rising, and
    v_places integer[];     -- their places in v_grants: width_bucket() finds one
    v_left numeric[];
    v_out boolean[];
    v_many integer;
    v_first integer := 1;   -- no grant before it has anything left
    v_kept numeric;         -- what is left of grants whose time has come
    v_row ledger_grant_draw;
    v_shares ledger_grant_draw[];
    v_part numeric;
    v_need numeric;
    v_done numeric;
    v_next bigint;
    v_reversed bigint;
    v_level numeric;        -- of the entry that is reversed: what was taken and not given back
    v_low numeric;
    v_until numeric;
    v_bottom numeric;
    v_own numeric;          -- what of a refund no grant had paid
    v_takings ledger_grant_move[];
    v_first_seq bigint;     -- of the debits that draw together
    v_last_seq bigint;
    v_captures boolean;
    v_own_id bigint;        -- the grant that they draw on first
    m ledger_grant_move;
    t ledger_grant_move;
    i integer;
    j integer;
BEGIN
    SELECT b.seq, coalesce(p.seq, 0), coalesce(p.overdrawn, 0) INTO r.seq, v_from, r.overdrawn
    FROM ledger_balance b LEFT JOIN ledger_grantprogress p USING (user_id) WHERE b.user_id = p_user_id;
    r.lapses := '{}';
    IF p_skips THEN
        v_from := coalesce((
            SELECT min(seq) - 1 FROM ledger_grant
            WHERE user_id = p_user_id AND seq > v_from AND (expires_at IS NOT NULL OR priority <> 50)), r.seq);
    END IF;
    v_at := v_from;
    v_total := ledger_balance_at(p_user_id, v_from);
    v_moves := ledger_grant_moves(p_user_id, v_from, p_most + 1);
    IF cardinality(v_moves) > p_most THEN
        r.seq := v_moves[p_most + 1].seq - 1;
        v_moves := v_moves[:p_most];
    END IF;
    v_end := ledger_balance_at(p_user_id, r.seq);

    SELECT v_total - v_end + coalesce(sum(amount) FILTER (WHERE amount > 0), 0) INTO v_need FROM unnest(v_moves);
    v_grants := ledger_grants_concerned(p_user_id, v_from, v_moves, v_need, p_now, p_skips);
    v_moves := ARRAY(
        SELECT step.move FROM (
            SELECT ROW((u).*)::ledger_grant_move AS move FROM unnest(v_moves) u
            UNION ALL
            SELECT ROW(ran_out_seq + 1, 0, NULL, 0, ledger_balance_at(p_user_id, ran_out_seq), NULL, NULL, NULL, NULL,
                       entry_id, NULL)::ledger_grant_move
            FROM unnest(v_grants) WHERE ran_out_seq > v_from AND ran_out_seq < r.seq
            UNION ALL
            SELECT ROW(r.seq + 1, 2, NULL, 0, v_end, NULL, NULL, NULL, NULL, NULL, NULL)::ledger_grant_move
        ) step ORDER BY (step.move).seq, (step.move).kind);
    SELECT array_agg(entry_id ORDER BY entry_id), array_agg(place::integer ORDER BY entry_id),
        array_agg(remaining ORDER BY place), array_agg(coalesce(ran_out_seq <= v_from, false) ORDER BY place),
        coalesce(sum(remaining) FILTER (WHERE ran_out_seq <= v_from), 0), count(*)
    INTO v_ids, v_places, v_left, v_out, v_kept, v_many
    FROM unnest(v_grants) WITH ORDINALITY AS g(
        entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq, expired_at,
        created_at, place);
    IF p_skips THEN
        v_left[v_places[1]] := greatest(v_total, 0);
        r.overdrawn := greatest(-v_total, 0);
    END IF;

    FOREACH m IN ARRAY v_moves LOOP
        -- The debits before the move, together, and the move itself if it is one. While grants keep something for holds
        -- captures and other debits differ, so each is looked at.
        LOOP
            v_captures := false;
            v_own_id := NULL;
            v_first_seq := v_at + 1;
            IF v_first_seq < m.seq THEN
                IF v_kept = 0 THEN
                    v_last_seq := m.seq - 1;
                    v_need := v_total - m.before;
                ELSE
                    v_last_seq := v_first_seq;
                    SELECT -amount, reason = 'capture' INTO v_need, v_captures
                    FROM ledger_entry WHERE user_id = p_user_id AND seq = v_first_seq;
                END IF;
            ELSIF m.kind = 1 AND v_first_seq = m.seq AND m.amount < 0 THEN
                v_last_seq := m.seq;
                v_need := -m.amount;
                v_own_id := coalesce(m.grant_id, m.reverses_id);
            ELSE
                EXIT;
            END IF;
            v_done := 0;
            v_next := v_first_seq;
            FOR v_pass IN CASE WHEN v_own_id IS NOT NULL THEN 0 WHEN v_captures THEN 1 ELSE 2 END
                .. CASE WHEN m.grant_id IS NOT NULL AND v_own_id IS NOT NULL THEN 0 ELSE 2 END
            LOOP
                CONTINUE WHEN v_pass = 1 AND NOT v_captures;
                i := CASE v_pass WHEN 1 THEN 1 ELSE v_first END;
                IF v_pass = 0 THEN
                    j := width_bucket(v_own_id, v_ids);
                    IF v_ids[j] IS DISTINCT FROM v_own_id THEN
                        CONTINUE WHEN NOT p_skips OR m.grant_id IS NOT NULL;
                        j := 1;  -- grant 0 stands for it
                    END IF;
                    i := v_places[j];
                END IF;
                WHILE v_need > 0 AND i <= v_many LOOP
                    IF v_left[i] > 0 AND (v_pass = 0 OR v_out[i] = (v_pass = 1)) THEN
                        v_part := least(v_left[i], v_need);
                        IF m.grant_id IS NULL OR v_own_id IS NULL THEN
                            v_row := ROW(v_grants[i].entry_id, v_next, v_last_seq, v_part, v_part, v_part);
                            IF v_first_seq < v_last_seq THEN
                                IF v_part < v_need THEN
                                    v_row.last_seq := ledger_place_of_draw(
                                        p_user_id, v_next, v_last_seq, v_total, v_done + v_part);
                                END IF;
                                IF v_row.first_seq < v_row.last_seq THEN
                                    v_row.first_credits := least(
                                        v_part, v_total - ledger_balance_at(p_user_id, v_next) - v_done);
                                    v_row.last_credits := v_done + v_part
                                        - (v_total - ledger_balance_at(p_user_id, v_row.last_seq - 1));
                                END IF;
                                v_next := v_row.last_seq;
                                IF v_part < v_need
                                    AND v_total - ledger_balance_at(p_user_id, v_next) = v_done + v_part THEN
                                    v_next := v_next + 1;
                                END IF;
                            END IF;
                            v_draws := array_append(v_draws, v_row);
                            v_ends := array_append(v_ends, v_row.last_seq);
                        ELSE
                            v_grants[i].expired := v_grants[i].expired + v_part;
                            v_grants[i].expired_at := m.created_at;
                        END IF;
                        v_left[i] := v_left[i] - v_part;
                        v_need := v_need - v_part;
                        v_done := v_done + v_part;
                        IF v_out[i] THEN
                            v_kept := v_kept - v_part;
                        END IF;
                    ELSIF i = v_first AND v_left[i] = 0 THEN
                        v_first := i + 1;
                    END IF;
                    EXIT WHEN v_pass = 0;
                    i := i + 1;
                END LOOP;
            END LOOP;
            r.overdrawn := r.overdrawn + v_need;
            v_total := v_total - v_done - v_need;
            v_at := v_last_seq;
        END LOOP;
        IF m.kind = 1 THEN
            v_at := m.seq;
        END IF;
        v_total := m.before + m.amount;
        IF m.kind = 0 THEN
            i := v_places[CASE WHEN v_many < 4096 THEN width_bucket(m.grant_id, v_ids)
                ELSE ledger_places_to(v_ids, m.grant_id) END];
            v_out[i] := true;
            v_kept := v_kept + v_left[i];
        END IF;
        CONTINUE WHEN m.amount <= 0;

        v_part := least(r.overdrawn, m.amount);  -- what is overdrawn is paid first, whatever comes in
        r.overdrawn := r.overdrawn - v_part;
        IF m.reverses_id IS NULL THEN
            i := v_places[CASE WHEN v_many < 4096 THEN width_bucket(m.id, v_ids)
                ELSE ledger_places_to(v_ids, m.id) END];
            v_left[i] := m.amount - v_part;
            v_first := least(v_first, i);
            IF v_part > 0 THEN
                v_draws := array_append(v_draws, ROW(m.id, m.seq, m.seq, v_part, v_part, v_part)::ledger_grant_draw);
                v_ends := array_append(v_ends, m.seq);
            END IF;
            CONTINUE;
        END IF;

        -- What was taken and not given back lies like a pile: each debit put its shares on top, and what gives back
        -- takes from the top, first for what it paid of an overdraft. `v_level` is the pile's height, and what this
        -- entry takes for grants lies between v_low and v_until.
        IF m.reverses_id IS DISTINCT FROM v_reversed THEN
            SELECT greatest(-m.reversed_amount, 0) - coalesce(sum(amount), 0) INTO v_level
            FROM ledger_entry WHERE reverses_id = m.reverses_id AND seq < m.seq;
        END IF;
        v_reversed := m.reverses_id;
        v_until := v_level - v_part;
        v_level := v_level - m.amount;
        v_low := v_level;
        v_need := m.amount - v_part;
        v_own := 0;
        v_bottom := v_low + m.amount;
        v_takings := ARRAY[ROW(m.reversed_seq, 0, NULL, m.reversed_amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
            ::ledger_grant_move];
        IF m.reversed_amount > 0 THEN
            v_takings := ARRAY(
                SELECT ROW(seq, 0, NULL, amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::ledger_grant_move
                FROM ledger_entry WHERE reverses_id = m.reverses_id AND seq < m.seq ORDER BY seq DESC);
        END IF;
        FOREACH t IN ARRAY v_takings LOOP
            EXIT WHEN v_need = 0;
            IF m.reversed_amount < 0 THEN
                v_bottom := 0;
            ELSE
                v_bottom := v_bottom + t.amount;
                CONTINUE WHEN t.amount > 0;
            END IF;
            IF t.seq > v_from THEN
                v_shares := '{}';
                j := 1 + CASE WHEN v_many < 4096 THEN width_bucket(t.seq - 1, v_ends)
                    ELSE ledger_places_to(v_ends, t.seq - 1) END;
                WHILE v_draws[j].first_seq <= t.seq LOOP
                    v_shares := array_append(v_shares, v_draws[j]);
                    j := j + 1;
                END LOOP;
            ELSIF p_skips THEN
                v_shares := ARRAY[ROW(0, t.seq, t.seq, -t.amount, -t.amount, -t.amount)::ledger_grant_draw];
            ELSE
                v_shares := ARRAY(
                    SELECT ROW(grant_id, first_seq, last_seq, first_credits, last_credits, credits)::ledger_grant_draw
                    FROM ledger_draws_at(p_user_id, t.seq) ORDER BY id);
            END IF;
            v_done := v_bottom;
            v_shares := array_append(v_shares, NULL::ledger_grant_draw);  -- what no grant paid lies on top of all
            FOREACH v_row IN ARRAY v_shares LOOP
                v_part := CASE t.seq WHEN v_row.first_seq THEN v_row.first_credits
                    WHEN v_row.last_seq THEN v_row.last_credits
                    ELSE -t.amount - CASE WHEN v_row.entry_id IS NULL THEN v_done - v_bottom ELSE 0 END END;
                v_done := v_done + v_part;
                v_part := least(v_done, v_until) - greatest(v_done - v_part, v_low);
                CONTINUE WHEN v_part <= 0;
                v_need := v_need - v_part;
                IF v_row.entry_id IS NULL THEN
                    v_own := v_own + v_part;
                    CONTINUE;
                END IF;
                i := v_places[CASE WHEN v_many < 4096 THEN width_bucket(v_row.entry_id, v_ids)
                    ELSE ledger_places_to(v_ids, v_row.entry_id) END];
                v_left[i] := v_left[i] + v_part;
                v_first := least(v_first, i);
                IF v_out[i] THEN
                    v_kept := v_kept + v_part;
                END IF;
                -- One draw for each grant: several debits may have drawn on it.
                j := cardinality(v_ends);
                WHILE v_ends[j] = m.seq AND v_draws[j].entry_id <> v_row.entry_id LOOP
                    j := j - 1;
                END LOOP;
                IF v_ends[j] = m.seq THEN
                    v_part := v_part - v_draws[j].credits;
                    v_draws[j] := ROW(v_row.entry_id, m.seq, m.seq, -v_part, -v_part, -v_part);
                ELSE
                    v_draws := array_append(
                        v_draws, ROW(v_row.entry_id, m.seq, m.seq, -v_part, -v_part, -v_part)::ledger_grant_draw);
                    v_ends := array_append(v_ends, m.seq);
                END IF;
            END LOOP;
            v_until := least(v_until, v_bottom);
        END LOOP;
        IF v_need <> 0 THEN
            RAISE EXCEPTION 'entry % of customer % gives back % credits that were taken by no debit', m.seq, p_user_id,
                v_need USING ERRCODE = 'data_corrupted';
        END IF;
        IF v_own > 0 THEN
            i := v_places[CASE WHEN v_many < 4096 THEN width_bucket(m.id, v_ids)
                ELSE ledger_places_to(v_ids, m.id) END];
            v_grants[i].amount := v_own;
            v_left[i] := v_own;
            v_first := least(v_first, i);
        END IF;
    END LOOP;

    FOR i IN 1 .. v_many LOOP
        v_grants[i].remaining := v_left[i];
    END LOOP;
    r.grants := v_grants;
    r.draws := v_draws;
    RETURN r;
END $$;
