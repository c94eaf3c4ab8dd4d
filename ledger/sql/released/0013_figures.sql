-- What migration 0013_figures of ledger runs: written by freeze_sql from sql/current/, never edited.

-- Credits that customers have, as of entry `seq`; `lost`: of the balance, what expired since (negative: what periods
-- that began since have brought). What is overdrawn is owed in paid credits.
CREATE TYPE ledger_credits_held AS (user_id bigint, seq bigint, paid numeric, promotional numeric, lost numeric);

-- What the credits of these customers are made of at `p_now`. One who is too far behind to be settled at once is left
-- out: the caller settles their grants first.
CREATE FUNCTION ledger_credits_by_category(p_user_ids bigint[], p_now timestamptz) RETURNS SETOF ledger_credits_held
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_credits_held;
    v_standing ledger_grants_standing;
BEGIN
    FOREACH r.user_id IN ARRAY p_user_ids LOOP
        CONTINUE WHEN ledger_is_far_behind(r.user_id);
        SELECT seq INTO r.seq FROM ledger_balance WHERE user_id = r.user_id;
        CONTINUE WHEN NOT FOUND;
        v_standing := ledger_grants_at(r.user_id, p_now, ledger_burn_down(r.user_id, p_now));
        SELECT coalesce(sum(remaining) FILTER (WHERE category = 'paid'), 0) - v_standing.overdrawn,
            coalesce(sum(remaining) FILTER (WHERE category = 'promotional'), 0)
        INTO r.paid, r.promotional
        FROM (
            SELECT category, remaining FROM unnest(v_standing.grants)
            UNION ALL
            SELECT category, remaining FROM ledger_grant g
            WHERE g.user_id = r.user_id AND g.remaining > 0
                AND NOT EXISTS (SELECT FROM unnest(v_standing.grants) s WHERE s.entry_id = g.entry_id)
        ) held;
        r.lost := coalesce((SELECT sum(credits) FROM unnest(v_standing.expiries)), 0);
        RETURN NEXT r;
    END LOOP;
END $$;
