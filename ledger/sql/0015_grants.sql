-- Lots: which credits were spent first, and what is left of those that expire (docs/decisions/0031).
--
-- Charging never touches them. What the debits since the last time drew on which lot is reckoned, in the order of the
-- ledger, when a lot's time has come, a refund goes back to lots, or somebody asks.

CREATE TRIGGER grant_stays BEFORE DELETE OR TRUNCATE ON ledger_grant
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_keeps_its_terms BEFORE UPDATE ON ledger_grant
    FOR EACH ROW
    WHEN ((OLD.entry_id, OLD.user_id, OLD.seq, OLD.amount, OLD.category, OLD.priority, OLD.effective_at, OLD.expires_at)
          IS DISTINCT FROM
          (NEW.entry_id, NEW.user_id, NEW.seq, NEW.amount, NEW.category, NEW.priority, NEW.effective_at, NEW.expires_at)
          OR NEW.expired < OLD.expired)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_draw_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_grantdraw
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_progress_stays BEFORE DELETE OR TRUNCATE ON ledger_grantprogress
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_progress_goes_on BEFORE UPDATE ON ledger_grantprogress
    FOR EACH ROW WHEN (NEW.seq < OLD.seq OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_change();

ALTER TABLE ledger_grant ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE ledger_grantdraw ALTER COLUMN user_id SET (n_distinct = -0.001);

CREATE TYPE ledger_lot AS (
    entry_id bigint, seq bigint, amount numeric, remaining numeric, expired numeric, category text, priority smallint,
    effective_at timestamptz, expires_at timestamptz, has_run_out boolean, expired_at timestamptz,
    created_at timestamptz
);

CREATE TYPE ledger_lot_draw AS (
    entry_id bigint, first_seq bigint, last_seq bigint, first_credits numeric, last_credits numeric, credits numeric
);

-- Credits of a lot that expire, and when. Without `entry_id`: of all lots.
CREATE TYPE ledger_lapse AS (entry_id bigint, credits numeric, expired_at timestamptz);

-- How the lots stand once all entries up to `seq` have drawn on them, what they drew, and what has expired since.
CREATE TYPE ledger_reckoning AS (
    seq bigint, overdrawn numeric, lots ledger_lot[], draws ledger_lot_draw[], lapses ledger_lapse[]
);

-- What to do with one amount that a refund gives back, part by part: the lot of an entry and its share of the debit,
-- last drawn first. The share that no lot had paid comes before all others, without an entry.
CREATE FUNCTION ledger_shares(
    p_user_id bigint, p_debit_id bigint, p_draws ledger_lot_draw[]
) RETURNS TABLE (entry_id bigint, credits numeric) LANGUAGE sql STABLE AS $$
    WITH debit AS (
        SELECT seq, -amount AS credits FROM ledger_entry WHERE id = p_debit_id AND user_id = p_user_id
    ), drawn AS (
        SELECT 1 AS written, d.id AS place, d.grant_id AS entry_id, d.first_seq, d.last_seq, d.first_credits,
            d.last_credits
        FROM ledger_grantdraw d JOIN debit ON d.last_seq >= debit.seq AND d.first_seq <= debit.seq
        WHERE d.user_id = p_user_id
        UNION ALL
        SELECT 2, d.place, d.entry_id, d.first_seq, d.last_seq, d.first_credits, d.last_credits
        FROM unnest(p_draws) WITH ORDINALITY
            AS d(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
        JOIN debit ON debit.seq BETWEEN d.first_seq AND d.last_seq
    ), share AS (
        SELECT written, place, entry_id, CASE debit.seq
            WHEN first_seq THEN first_credits WHEN last_seq THEN last_credits ELSE debit.credits END AS credits
        FROM drawn CROSS JOIN debit
    )
    SELECT found.entry_id, found.credits FROM (
        SELECT 3 AS written, 0 AS place, NULL::bigint AS entry_id,
            debit.credits - coalesce((SELECT sum(share.credits) FROM share), 0) AS credits
        FROM debit
        UNION ALL
        SELECT * FROM share
    ) found ORDER BY found.written DESC, found.place DESC
$$;

-- Reckon, without writing anything, how a customer's lots stand at `p_now`: as every reader and every writer sees it.
--
-- Debits draw on lots by priority, soonest expiry, promotional before paid, effective, id. Once a lot's time has
-- come only as much of it stays as open holds reserve, soonest expiry first; captures draw on it before all others,
-- and what holds reserve no longer is gone at that moment. Holds run out before lots of the same moment.
-- What no lot covers (an overdraft) is paid by the next credits. With `p_most`, only so many entries further; without
-- `p_now`, nothing expires.
CREATE FUNCTION ledger_reckon(
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
    FOR e IN
        SELECT '-infinity'::timestamptz AS at, 0::numeric AS freed, NULL::integer AS place
        WHERE p_now IS NOT NULL AND r.seq = v_balance.seq
        UNION ALL
        SELECT expires_at, credits - captured, NULL FROM ledger_hold
        WHERE user_id = p_user_id AND status = 'open' AND expires_at <= p_now AND r.seq = v_balance.seq
        UNION ALL
        SELECT v_lots[place].expires_at, 0, place FROM generate_subscripts(v_lots, 1) AS place
        WHERE v_lots[place].expires_at <= p_now AND NOT v_out[place] AND r.seq = v_balance.seq
        ORDER BY at, place NULLS FIRST
    LOOP
        v_at := greatest(v_at, e.at);
        v_reserved := v_reserved - e.freed;
        IF e.place IS NOT NULL THEN
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

-- What a customer's lots have lost by `p_now` since anything was settled: credits, and when the last of them expired.
-- All NULL: nothing. For readers, who may ask whether or not a job has run.
CREATE FUNCTION ledger_lapsed(p_user_id bigint, p_now timestamptz) RETURNS ledger_lapse
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_lapse;
BEGIN
    IF EXISTS (SELECT FROM ledger_grant WHERE user_id = p_user_id AND expires_at IS NOT NULL) THEN
        SELECT NULL, sum(lapse.credits), max(lapse.expired_at) INTO r
        FROM unnest((ledger_reckon(p_user_id, p_now)).lapses) AS lapse;
    END IF;
    RETURN r;
END $$;

-- Write down what was reckoned. The caller holds the balance row.
CREATE FUNCTION ledger_note_reckoning(p_user_id bigint, r ledger_reckoning) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_grant AS g (
        entry_id, user_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at, has_run_out,
        expired_at, created_at)
    SELECT entry_id, p_user_id, seq, amount, remaining, expired, category, priority, effective_at, expires_at,
        has_run_out, expired_at, created_at
    FROM unnest(r.lots) WHERE amount > 0 ORDER BY entry_id
    ON CONFLICT (entry_id) DO UPDATE SET
        remaining = excluded.remaining, expired = excluded.expired, has_run_out = excluded.has_run_out,
        expired_at = excluded.expired_at
    WHERE (g.remaining, g.expired, g.has_run_out) <> (excluded.remaining, excluded.expired, excluded.has_run_out);
    INSERT INTO ledger_grantdraw (user_id, grant_id, first_seq, last_seq, first_credits, last_credits, credits)
    SELECT p_user_id, entry_id, first_seq, last_seq, first_credits, last_credits, credits
    FROM unnest(r.draws) WITH ORDINALITY
        AS d(entry_id, first_seq, last_seq, first_credits, last_credits, credits, place)
    ORDER BY place;
    INSERT INTO ledger_grantprogress (user_id, seq, overdrawn) VALUES (p_user_id, r.seq, r.overdrawn)
    ON CONFLICT (user_id) DO UPDATE SET seq = excluded.seq, overdrawn = excluded.overdrawn;
END $$;
