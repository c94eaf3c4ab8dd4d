-- History of grants: what a burn-down reads of the ledger, and of the grants that it may concern (docs/decisions/0039).
--
-- Promises to read no more than the moves ask for: each look-up costs the logarithm of the history.
-- Called by grants_burn_down.sql, grants_given_back.sql and grants.sql. Reads only; locks nothing.

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

-- The rows of burn-down that an entry has a part in.
CREATE FUNCTION ledger_drawn_at(p_user_id bigint, p_seq bigint) RETURNS SETOF ledger_grantdraw
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

-- How many of rising values are at most `p_value`: as width_bucket(), which copies the array first.
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
                CROSS JOIN LATERAL ledger_drawn_at(p_user_id, t.seq) d
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
