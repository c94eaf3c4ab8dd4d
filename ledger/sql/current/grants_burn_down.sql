-- Burn-down of grants: which debits drew on which grants, in work that is bounded whatever a history holds
-- (docs/decisions/0031 and 0039).
--
-- Promises the same result for the same ledger, whether it was settled in one go or in many.
-- Between two entries that are not debits, debits draw on the same grants in the same order, so their sum is enough: it
-- is the difference of two balances, however many they are. What is worked through one by one is therefore every
-- credit, refund and adjustment ("move") since the last time, and the cost of each grows with the logarithm of the
-- history alone.
-- Called by grants.sql and settling.sql. Reads only; locks nothing.

-- A burn-down that has reached entry `seq`, and will end with entry `last_seq`.
--   total, kept    the balance after it, and what is left of grants that have ended, for holds
--   ids, places    of the grants: rising, and where each of them is in `grants`
CREATE TYPE ledger_burn_down_state AS (
    seq bigint, last_seq bigint, total numeric, overdrawn numeric, moves ledger_grant_move[],
    grants ledger_grant_state[], ids bigint[], places integer[], remaining numeric[], has_ended boolean[], kept numeric
);

-- Debits that draw on grants together, or (`is_expiry`) the entry that expires a grant: its draw is written already.
--   own_id    the grant that they draw on before all others
CREATE TYPE ledger_debit_run AS (
    first_seq bigint, last_seq bigint, credits numeric, is_capture boolean, own_id bigint, is_expiry boolean
);

-- What changes of a grant: signed credits of what is left of it, and (unless NULL) its amount.
CREATE TYPE ledger_grant_change AS (place integer, entry_id bigint, credits numeric, amount numeric);

-- The place of a grant; NULL: it is not among them. width_bucket() finds it sooner, but copies the array first.
CREATE FUNCTION ledger_place_of_grant(p_ids bigint[], p_places integer[], p_id bigint) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    i integer := CASE WHEN cardinality(p_ids) < 4096 THEN width_bucket(p_id, p_ids)
        ELSE ledger_places_to(p_ids, p_id) END;
BEGIN
    RETURN CASE WHEN p_ids[i] = p_id THEN p_places[i] END;
END $$;

-- The moves of a burn-down in their order, and between them the times at which grants ended; the last one is the end.
CREATE FUNCTION ledger_grant_steps(
    p_user_id bigint, p_from bigint, p_last bigint, p_end numeric, p_moves ledger_grant_move[],
    p_grants ledger_grant_state[]
) RETURNS ledger_grant_move[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY(
        SELECT step.move FROM (
            SELECT ROW((u).*)::ledger_grant_move AS move FROM unnest(p_moves) u
            UNION ALL
            SELECT ROW(ran_out_seq + 1, 0, NULL, 0, ledger_balance_at(p_user_id, ran_out_seq), NULL, NULL, NULL, NULL,
                       entry_id, NULL)::ledger_grant_move
            FROM unnest(p_grants) WHERE ran_out_seq > p_from AND ran_out_seq < p_last
            UNION ALL
            SELECT ROW(p_last + 1, 2, NULL, 0, p_end, NULL, NULL, NULL, NULL, NULL, NULL)::ledger_grant_move
        ) step ORDER BY (step.move).seq, (step.move).kind)
$$;

-- Read what a burn-down works on.
CREATE FUNCTION ledger_start_burn_down(
    p_user_id bigint, p_now timestamptz, p_most bigint, p_skips boolean
) RETURNS ledger_burn_down_state LANGUAGE plpgsql STABLE AS $$
DECLARE
    s ledger_burn_down_state;
    v_end numeric;
    v_need numeric;
BEGIN
    SELECT b.seq, coalesce(p.seq, 0), coalesce(p.overdrawn, 0) INTO s.last_seq, s.seq, s.overdrawn
    FROM ledger_balance b LEFT JOIN ledger_grantprogress p USING (user_id) WHERE b.user_id = p_user_id;
    IF p_skips THEN
        s.seq := coalesce((
            SELECT min(seq) - 1 FROM ledger_grant
            WHERE user_id = p_user_id AND seq > s.seq AND (expires_at IS NOT NULL OR priority <> 50)), s.last_seq);
    END IF;
    s.total := ledger_balance_at(p_user_id, s.seq);
    s.moves := ledger_grant_moves(p_user_id, s.seq, p_most + 1);
    IF cardinality(s.moves) > p_most THEN
        s.last_seq := s.moves[p_most + 1].seq - 1;
        s.moves := s.moves[:p_most];
    END IF;
    v_end := ledger_balance_at(p_user_id, s.last_seq);

    SELECT s.total - v_end + coalesce(sum(amount) FILTER (WHERE amount > 0), 0) INTO v_need FROM unnest(s.moves);
    s.grants := ledger_grants_concerned(p_user_id, s.seq, s.moves, v_need, p_now, p_skips);
    s.moves := ledger_grant_steps(p_user_id, s.seq, s.last_seq, v_end, s.moves, s.grants);
    SELECT array_agg(entry_id ORDER BY entry_id), array_agg(place::integer ORDER BY entry_id),
        array_agg(remaining ORDER BY place), array_agg(coalesce(ran_out_seq <= s.seq, false) ORDER BY place),
        coalesce(sum(remaining) FILTER (WHERE ran_out_seq <= s.seq), 0)
    INTO s.ids, s.places, s.remaining, s.has_ended, s.kept
    FROM unnest(s.grants) WITH ORDINALITY AS g(
        entry_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, ran_out_seq, expired_at,
        created_at, place);
    IF p_skips THEN  -- grant 0 is the first
        s.remaining[s.places[1]] := greatest(s.total, 0);
        s.overdrawn := greatest(-s.total, 0);
    END IF;
    RETURN s;
END $$;

-- The debits after place `p_at` that come before a move, together, and then the move itself if it is a debit; NULL:
-- there is none. While grants keep something for holds (`p_kept`) captures and other debits differ, so each is looked
-- at.
CREATE FUNCTION ledger_next_debits(
    p_user_id bigint, p_at bigint, p_total numeric, p_kept numeric, m ledger_grant_move
) RETURNS ledger_debit_run LANGUAGE plpgsql STABLE AS $$
DECLARE
    r ledger_debit_run;
BEGIN
    IF p_at + 1 < m.seq THEN
        r.first_seq := p_at + 1;
        IF p_kept = 0 THEN
            r.last_seq := m.seq - 1;
            r.credits := p_total - m.before;
        ELSE
            r.last_seq := r.first_seq;
            SELECT -amount, reason = 'capture' INTO r.credits, r.is_capture
            FROM ledger_entry WHERE user_id = p_user_id AND seq = r.first_seq;
        END IF;
    ELSIF m.kind = 1 AND p_at + 1 = m.seq AND m.amount < 0 THEN
        r.first_seq := m.seq;
        r.last_seq := m.seq;
        r.credits := -m.amount;
        r.own_id := coalesce(m.grant_id, m.reverses_id);
        r.is_expiry := m.grant_id IS NOT NULL;
    END IF;
    RETURN r;
END $$;

-- What debits draw on: first on the grant of their own, then, if they capture, on grants that have ended, and then on
-- the others in their order, of which none before `p_first` has anything left. With `p_skips` grant 0, the first,
-- stands for a grant of their own that is not there.
CREATE FUNCTION ledger_changes_by_debits(
    p_run ledger_debit_run, p_skips boolean, p_ids bigint[], p_places integer[], p_first integer,
    p_grants ledger_grant_state[], p_left numeric[], p_has_ended boolean[]
) RETURNS ledger_grant_change[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_changes ledger_grant_change[] := '{}';
    v_own integer := ledger_place_of_grant(p_ids, p_places, p_run.own_id);
    v_need numeric := p_run.credits;
    v_part numeric;
    i integer;
BEGIN
    IF v_own IS NULL AND p_skips AND NOT p_run.is_expiry THEN
        v_own := p_places[1];
    END IF;
    IF p_left[v_own] > 0 AND v_need > 0 THEN
        v_part := least(p_left[v_own], v_need);
        v_need := v_need - v_part;
        v_changes := ARRAY[ROW(v_own, p_grants[v_own].entry_id, -v_part, NULL)::ledger_grant_change];
    END IF;
    IF p_run.is_expiry THEN
        RETURN v_changes;
    END IF;
    FOR v_pass IN CASE WHEN p_run.is_capture THEN 1 ELSE 2 END .. 2 LOOP
        i := CASE v_pass WHEN 1 THEN 1 ELSE p_first END;
        WHILE v_need > 0 AND i <= cardinality(p_left) LOOP
            IF p_left[i] > 0 AND p_has_ended[i] = (v_pass = 1) AND i IS DISTINCT FROM v_own THEN
                v_part := least(p_left[i], v_need);
                v_need := v_need - v_part;
                v_changes := array_append(
                    v_changes, ROW(i, p_grants[i].entry_id, -v_part, NULL)::ledger_grant_change);
            END IF;
            i := i + 1;
        END LOOP;
    END LOOP;
    RETURN v_changes;
END $$;

-- Which debits of a run drew on each of the grants that it changed, and how much the first and the last of them did.
-- `p_total`: the balance before the run.
CREATE FUNCTION ledger_rows_of_debits(
    p_user_id bigint, p_run ledger_debit_run, p_total numeric, p_changes ledger_grant_change[]
) RETURNS ledger_grant_draw[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_rows ledger_grant_draw[] := '{}';
    v_row ledger_grant_draw;
    v_next bigint := p_run.first_seq;
    v_before numeric := 0;  -- credits of the run, before the draw and
    v_done numeric := 0;    -- after it
    c ledger_grant_change;
BEGIN
    IF p_run.is_expiry THEN
        RETURN v_rows;
    END IF;
    FOREACH c IN ARRAY p_changes LOOP
        v_before := v_done;
        v_done := v_done - c.credits;
        v_row := ROW(c.entry_id, v_next, p_run.last_seq, -c.credits, -c.credits, -c.credits);
        IF p_run.first_seq < p_run.last_seq THEN
            IF v_done < p_run.credits THEN
                v_row.last_seq := ledger_place_of_draw(p_user_id, v_next, p_run.last_seq, p_total, v_done);
            END IF;
            IF v_row.first_seq < v_row.last_seq THEN
                v_row.first_credits := least(
                    v_row.credits, p_total - ledger_balance_at(p_user_id, v_next) - v_before);
                v_row.last_credits := v_done - (p_total - ledger_balance_at(p_user_id, v_row.last_seq - 1));
            END IF;
            v_next := v_row.last_seq;
            IF v_done < p_run.credits AND p_total - ledger_balance_at(p_user_id, v_next) = v_done THEN
                v_next := v_next + 1;
            END IF;
        END IF;
        v_rows := array_append(v_rows, v_row);
    END LOOP;
    RETURN v_rows;
END $$;

-- Let the entries since the last time draw on grants, without writing anything: at most `p_most` moves further.
--
-- A debit uses grants by priority, soonest expiry, promotional before paid, effective time, id. A capture first uses
-- grants that have ended and that its hold kept; no other debit does. A reversal of a purchase first uses the grant of
-- that purchase, and an expiry its own grant alone. What no grant covers is overdrawn, and the next credits pay it,
-- whatever brings them. What is left of a refund goes to the grants that the debit used, the last one first; what no
-- grant had paid opens a grant. Nothing is restored twice.
--
-- With `p_skips`, entries before the first grant with terms of its own since then are not looked at: until then the
-- balance alone says what there was, since all of it stays for ever and is spent alike.
--
-- The arrays below are changed in place, and functions only read them: a copy for each move would make the work
-- quadratic.
CREATE FUNCTION ledger_burn_down(
    p_user_id bigint, p_now timestamptz, p_most bigint DEFAULT NULL, p_skips boolean DEFAULT false
) RETURNS ledger_grants_standing LANGUAGE plpgsql STABLE AS $$
DECLARE
    s ledger_burn_down_state := ledger_start_burn_down(p_user_id, p_now, p_most, p_skips);
    v_from bigint := s.seq;
    v_ids bigint[] := s.ids;
    v_places integer[] := s.places;
    v_grants ledger_grant_state[] := s.grants;
    v_left numeric[] := s.remaining;
    v_has_ended boolean[] := s.has_ended;
    v_first integer := 1;   -- no grant before it has anything left
    v_rows ledger_grant_draw[] := '{}';
    v_new_rows ledger_grant_draw[];
    v_run ledger_debit_run;
    v_changes ledger_grant_change[];
    v_reversed bigint;      -- the entry that was reversed last, and
    v_level numeric;        -- what of it was taken and not given back
    v_row ledger_grant_draw;
    m ledger_grant_move;
    c ledger_grant_change;
    i integer;
BEGIN
    FOREACH m IN ARRAY s.moves LOOP
        LOOP
            v_run := ledger_next_debits(p_user_id, s.seq, s.total, s.kept, m);
            IF v_run.first_seq IS NOT NULL THEN
                v_changes := ledger_changes_by_debits(
                    v_run, p_skips, v_ids, v_places, v_first, v_grants, v_left, v_has_ended);
                v_new_rows := ledger_rows_of_debits(p_user_id, v_run, s.total, v_changes);
                s.overdrawn := s.overdrawn + v_run.credits;
                s.total := s.total - v_run.credits;
                s.seq := v_run.last_seq;
            ELSE
                EXIT WHEN m.amount <= 0;
                IF m.reverses_id IS DISTINCT FROM v_reversed THEN
                    v_level := ledger_level_of_reversed(m);
                END IF;
                v_reversed := m.reverses_id;
                v_changes := ledger_changes_by_credit(
                    p_user_id, m, least(s.overdrawn, m.amount), v_level, v_from, p_skips, v_rows);
                v_new_rows := ledger_rows_of_credit(m, least(s.overdrawn, m.amount), v_changes);
                v_level := v_level - m.amount;
                s.overdrawn := greatest(s.overdrawn - m.amount, 0);  -- paid first, whatever comes in
            END IF;
            FOREACH c IN ARRAY v_changes LOOP
                i := coalesce(c.place, ledger_place_of_grant(v_ids, v_places, c.entry_id));
                v_left[i] := v_left[i] + c.credits;
                v_first := least(v_first, i);
                s.kept := s.kept + CASE WHEN v_has_ended[i] THEN c.credits ELSE 0 END;
                s.overdrawn := s.overdrawn + CASE WHEN v_run.first_seq IS NULL THEN 0 ELSE c.credits END;
                IF c.amount IS NOT NULL THEN
                    v_grants[i].amount := c.amount;
                ELSIF v_run.is_expiry THEN
                    v_grants[i].expired := v_grants[i].expired - c.credits;
                    v_grants[i].expired_at := m.created_at;
                END IF;
            END LOOP;
            FOREACH v_row IN ARRAY v_new_rows LOOP
                v_rows := array_append(v_rows, v_row);
            END LOOP;
            WHILE v_left[v_first] = 0 LOOP
                v_first := v_first + 1;
            END LOOP;
            EXIT WHEN v_run.first_seq IS NULL;
        END LOOP;
        s.seq := CASE m.kind WHEN 1 THEN m.seq ELSE s.seq END;
        s.total := m.before + m.amount;
        IF m.kind = 0 THEN
            i := ledger_place_of_grant(v_ids, v_places, m.grant_id);
            v_has_ended[i] := true;
            s.kept := s.kept + v_left[i];
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(v_grants) LOOP
        v_grants[i].remaining := v_left[i];
    END LOOP;
    RETURN ROW(s.last_seq, s.overdrawn, v_grants, v_rows, '{}'::ledger_grant_expiry[]);
END $$;
