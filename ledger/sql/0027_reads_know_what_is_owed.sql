-- What a customer's grants have lost by `p_now` since anything was settled, less what periods that began meanwhile have
-- brought: credits, and when the last of that happened. What is owed, and will be taken of what has become available
-- by that or by holds that have run out, counts as lost: nobody can spend it.
-- All NULL: nothing. For readers, whether or not a job has run.
CREATE OR REPLACE FUNCTION ledger_lapsed(p_user_id bigint, p_now timestamptz) RETURNS ledger_lapse
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
