-- Grants that get credits back: refunds, and reversals that were reversed (docs/decisions/0031 and 0039).
--
-- Promises that what a debit drew goes back to the grants that it drew on, the last drawn first, and never twice.
-- Called by ledger_burn_down (grants_burn_down.sql) for each credit. Reads only; locks nothing.

-- How many of these rows, in their order, end before a place.
CREATE FUNCTION ledger_rows_before(p_rows ledger_grant_draw[], p_seq bigint) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_low integer := 0;
    v_high integer := cardinality(p_rows);
    v_middle integer;
BEGIN
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high + 1) / 2;
        IF p_rows[v_middle].last_seq < p_seq THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle - 1;
        END IF;
    END LOOP;
    RETURN v_low;
END $$;

-- What an entry that takes something drew on, in this order: from the rows of this burn-down, or from those that are
-- written since before.
CREATE FUNCTION ledger_rows_of_taking(
    p_user_id bigint, p_taking ledger_grant_move, p_from bigint, p_skips boolean, p_rows ledger_grant_draw[]
) RETURNS ledger_grant_draw[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_found ledger_grant_draw[] := '{}';
    i integer;
BEGIN
    IF p_taking.seq > p_from THEN
        i := 1 + ledger_rows_before(p_rows, p_taking.seq);
        WHILE p_rows[i].first_seq <= p_taking.seq LOOP
            v_found := array_append(v_found, p_rows[i]);
            i := i + 1;
        END LOOP;
        RETURN v_found;
    END IF;
    IF p_skips THEN
        RETURN ARRAY[ROW(
            0, p_taking.seq, p_taking.seq, -p_taking.amount, -p_taking.amount, -p_taking.amount)::ledger_grant_draw];
    END IF;
    RETURN ARRAY(
        SELECT ROW(grant_id, first_seq, last_seq, first_credits, last_credits, credits)::ledger_grant_draw
        FROM ledger_drawn_at(p_user_id, p_taking.seq) ORDER BY id);
END $$;

-- The entries that took what an entry restores, the latest first, and other reversals between them.
CREATE FUNCTION ledger_takings(m ledger_grant_move) RETURNS ledger_grant_move[] LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN m.reversed_amount > 0 THEN ARRAY(
        SELECT ROW(seq, 0, NULL, amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::ledger_grant_move
        FROM ledger_entry WHERE reverses_id = m.reverses_id AND seq < m.seq ORDER BY seq DESC)
    ELSE ARRAY[ROW(m.reversed_seq, 0, NULL, m.reversed_amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
        ::ledger_grant_move] END
$$;

-- How much of an entry was taken and not given back before a move.
CREATE FUNCTION ledger_level_of_reversed(m ledger_grant_move) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT greatest(-m.reversed_amount, 0) - coalesce(sum(amount), 0)
    FROM ledger_entry WHERE reverses_id = m.reverses_id AND seq < m.seq
$$;

-- What a credit changes, besides the `p_paid` of it that pay an overdraft: it opens a grant, or goes back to the grants
-- from which it was taken.
--
-- What was taken and not restored is a stack: each debit put its shares on top, and a credit takes from the top, first
-- for what it paid of an overdraft. `p_level` is the height of the stack, and what this entry takes for grants is
-- between v_low and v_until. What no grant paid is on top of a debit's shares, and opens a grant.
CREATE FUNCTION ledger_changes_by_credit(
    p_user_id bigint, m ledger_grant_move, p_paid numeric, p_level numeric, p_from bigint, p_skips boolean,
    p_rows ledger_grant_draw[]
) RETURNS ledger_grant_change[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_until numeric := p_level - p_paid;
    v_low numeric := p_level - m.amount;
    v_bottom numeric := p_level;
    v_need numeric := m.amount - p_paid;
    v_done numeric;
    v_part numeric;
    v_entries bigint[] := '{}';
    v_credits numeric[] := '{}';
    v_row ledger_grant_draw;
    t ledger_grant_move;
    i integer;
BEGIN
    IF m.reverses_id IS NULL THEN
        RETURN ARRAY[ROW(NULL, m.id, v_need, NULL)::ledger_grant_change];
    END IF;
    FOREACH t IN ARRAY ledger_takings(m) LOOP
        EXIT WHEN v_need = 0;
        v_bottom := CASE WHEN m.reversed_amount < 0 THEN 0 ELSE v_bottom + t.amount END;
        CONTINUE WHEN t.amount > 0;
        v_done := v_bottom;
        FOREACH v_row IN ARRAY array_append(
            ledger_rows_of_taking(p_user_id, t, p_from, p_skips, p_rows), NULL::ledger_grant_draw)
        LOOP
            v_part := CASE t.seq WHEN v_row.first_seq THEN v_row.first_credits
                WHEN v_row.last_seq THEN v_row.last_credits
                ELSE -t.amount - CASE WHEN v_row.entry_id IS NULL THEN v_done - v_bottom ELSE 0 END END;
            v_done := v_done + v_part;
            v_part := least(v_done, v_until) - greatest(v_done - v_part, v_low);
            CONTINUE WHEN v_part <= 0;
            v_need := v_need - v_part;
            -- One change for each grant: several debits may have drawn on it.
            i := coalesce(array_position(v_entries, v_row.entry_id), cardinality(v_entries) + 1);
            v_entries[i] := v_row.entry_id;
            v_credits[i] := coalesce(v_credits[i], 0) + v_part;
        END LOOP;
        v_until := least(v_until, v_bottom);
    END LOOP;
    IF v_need <> 0 THEN
        RAISE EXCEPTION 'entry % of customer % gives back % credits that were taken by no debit', m.seq, p_user_id,
            v_need USING ERRCODE = 'data_corrupted';
    END IF;
    RETURN ARRAY(
        SELECT ROW(NULL, coalesce(entry_id, m.id), credits, CASE WHEN entry_id IS NULL THEN credits END)
            ::ledger_grant_change
        FROM unnest(v_entries, v_credits) WITH ORDINALITY AS part(entry_id, credits, place) ORDER BY place);
END $$;

-- What a credit writes of that: what it paid of an overdraft is used of its own grant, what it restores is negative.
CREATE FUNCTION ledger_rows_of_credit(
    m ledger_grant_move, p_paid numeric, p_changes ledger_grant_change[]
) RETURNS ledger_grant_draw[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(
        SELECT ROW(entry_id, m.seq, m.seq, drawn, drawn, drawn)::ledger_grant_draw
        FROM (
            SELECT place, entry_id, CASE WHEN m.reverses_id IS NULL THEN p_paid WHEN amount IS NULL THEN -credits END
            FROM unnest(p_changes) WITH ORDINALITY AS change(at, entry_id, credits, amount, place)
        ) each(place, entry_id, drawn) WHERE drawn <> 0 ORDER BY place)
$$;
