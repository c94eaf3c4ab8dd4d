-- Adjustments: what staff change of a balance, alone within their limits, or when a second person agrees.
--
-- Promises that no sequence of requests, however many at once, lets a member of staff adjust more alone than the limits
-- allow; that whoever approves is neither the author nor the customer; that a request is decided once and then has its
-- entry, in one transaction; and that of an entry no more is reversed than is left of it.
-- Called by ledger/services/adjustments/requests.py:request_adjustment, ledger/services/adjustments/deciding.py:_decide,
-- and for files of them by ledger/services/adjustments/files.py:request_adjustment_file and :post_lines.
-- Locks: ledger_balance, then the request or the line, then ledger_adjustmentday. A file has no balance of its own: it
-- is decided without one, and each of its lines is posted in a transaction of its own.

-- What came of an attempt to adjust, to decide, or to post a line.
--   outcome    posted | pending (a second person has to agree) | rejected | withdrawn | waiting (the lines of a file are
--              posted next) | replayed | key_reused | file_known (request_id: the request that has the file)
--              and nothing is changed by: insufficient | not_reversible (reason: why) | exceeds (available: what is left
--              to reverse) | unsettled (its grants have to be settled first) | not_found | decided (by somebody else, or
--              otherwise) | own_request (of the author, or not of the author for a withdrawal) | own_account
CREATE TYPE ledger_adjustment_outcome AS (
    outcome text,
    request_id bigint,
    entry_id bigint,
    reason text,
    available numeric,
    reserved numeric,
    next_hold_expires_at timestamptz
);

-- How much a member of staff may adjust alone: the most generous of their groups' limits, or else the site's.
CREATE FUNCTION ledger_adjustment_limits(
    p_author_id bigint, p_default_single numeric, p_default_daily numeric, OUT single numeric, OUT daily numeric
) LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(l.single), p_default_single), coalesce(max(l.daily), p_default_daily)
    FROM accounts_user_groups g JOIN ledger_adjustmentlimit l ON l.group_id = g.group_id
    WHERE g.user_id = p_author_id
$$;

-- Why a second person has to agree to `p_credits` (without sign); NULL: nobody has to. Locks the sum of the author's day
-- until the transaction ends, so that of requests at once each sees what the others have added.
CREATE FUNCTION ledger_second_person_because(
    p_author_id bigint, p_today date, p_is_own_account boolean, p_credits numeric, p_default_single numeric,
    p_default_daily numeric
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_limits record;
    v_done numeric;
BEGIN
    INSERT INTO ledger_adjustmentday (author_id, day, credits) VALUES (p_author_id, p_today, 0) ON CONFLICT DO NOTHING;
    SELECT credits INTO v_done FROM ledger_adjustmentday WHERE author_id = p_author_id AND day = p_today FOR UPDATE;
    v_limits := ledger_adjustment_limits(p_author_id, p_default_single, p_default_daily);
    RETURN CASE
        WHEN p_is_own_account THEN 'own_account'
        WHEN p_credits > v_limits.single THEN 'single'
        WHEN v_done + p_credits > v_limits.daily THEN 'daily'
    END;
END $$;

-- Count what needs no second person; the caller has locked the day's row.
CREATE FUNCTION ledger_count_adjustment(p_author_id bigint, p_today date, p_credits numeric) RETURNS void
LANGUAGE sql AS $$
    UPDATE ledger_adjustmentday SET credits = credits + p_credits WHERE author_id = p_author_id AND day = p_today
$$;

-- Why an entry cannot be reversed by staff; NULL: it can.
CREATE FUNCTION ledger_why_not_reversible(e ledger_entry) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN e.reverses_id IS NOT NULL THEN 'reversal'
        WHEN e.reason = 'expiry' THEN 'expiry'
        WHEN e.operation = 'payment' THEN 'payment'
        WHEN e.operation = 'subscription' THEN 'subscription'
        WHEN e.operation = 'correct_drift' THEN 'drift'
    END
$$;

-- The reason of what reverses an entry: `reversal` for the debit of one request, whose statistics are lowered with it;
-- what was asked for (`p_reason`) for a debit that paid for several requests, of which none is meant, and for all else.
CREATE FUNCTION ledger_reversal_reason(p_entry_id bigint, p_reason text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN EXISTS (
        SELECT FROM ledger_entry
        WHERE id = p_entry_id AND reason IN ('usage', 'capture') AND operation IN ('charge', 'capture_hold')
            AND coalesce(metadata ->> 'tollbook_charge_id', metadata ->> 'charge_id') = id::text
    ) THEN 'reversal' ELSE p_reason END
$$;

-- What is left of an entry to reverse, in credits without sign: less what was reversed, and what expired of its grant.
CREATE FUNCTION ledger_left_to_reverse(p_entry_id bigint) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT greatest(0, abs(e.amount)
        - abs(coalesce((SELECT sum(r.amount) FROM ledger_entry r WHERE r.reverses_id = e.id), 0))
        - coalesce((SELECT g.expired FROM ledger_grant g WHERE g.entry_id = e.id), 0))
    FROM ledger_entry e WHERE e.id = p_entry_id
$$;

-- Post the entry of an adjustment; the caller has locked the balance. What reverses a debit returns it to the grants that
-- it drew on; of one request it is a credit, of anything else an adjustment. `p_key` names the request or the line.
CREATE FUNCTION ledger_post_adjustment(
    p_user_id bigint, p_amount numeric, p_reason text, p_note text, p_reference text, p_reverses bigint,
    p_author_id bigint, p_request_id bigint, p_key text
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    e ledger_entry;
    r ledger_outcome;
BEGIN
    IF p_reverses IS NOT NULL THEN
        SELECT * INTO e FROM ledger_entry WHERE id = p_reverses AND user_id = p_user_id;
        IF NOT FOUND THEN
            r.outcome := 'not_found';
        ELSIF ledger_why_not_reversible(e) IS NOT NULL THEN
            r.outcome := 'not_reversible';
            r.reason := ledger_why_not_reversible(e);
        ELSIF sign(p_amount) = sign(e.amount) OR abs(p_amount) > ledger_left_to_reverse(e.id) THEN
            r.outcome := 'exceeds';
            r.available := ledger_left_to_reverse(e.id);
        ELSIF ledger_has_grants_that_end(p_user_id) AND ledger_is_far_behind(p_user_id) THEN
            r.outcome := 'unsettled';
        END IF;
        IF r.outcome IS NOT NULL THEN
            RETURN r;
        END IF;
    END IF;
    r := ledger_move(
        p_user_id, CASE p_reason WHEN 'reversal' THEN 'credit' ELSE 'adjustment' END, p_reason, p_amount, p_note,
        p_reference, jsonb_build_object('adjustment_id', p_request_id), 'adjustment', p_key,
        sha256(convert_to(p_key, 'UTF8')), p_reverses, p_author_id);
    IF r.outcome = 'posted' THEN
        IF p_reverses IS NOT NULL THEN
            PERFORM ledger_settle_reversing_entry(p_user_id);
        ELSIF p_amount > 0 THEN
            PERFORM ledger_collect_owed_credits(p_user_id);
        END IF;
    END IF;
    RETURN r;
END $$;

-- An attempt to post, as the outcome of a request.
CREATE FUNCTION ledger_adjustment_outcome_of(p_posted ledger_outcome, p_request_id bigint)
RETURNS ledger_adjustment_outcome LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(
        p_posted.outcome, p_request_id, p_posted.entry_id, p_posted.reason, p_posted.available, p_posted.reserved,
        p_posted.next_hold_expires_at)::ledger_adjustment_outcome
$$;

-- Ask for an adjustment of `p_amount` signed credits: it is posted at once, or waits for a second person. What could not
-- be posted now is refused either way. `p_reason` is overruled where the debit of a request is reversed.
CREATE FUNCTION ledger_request_adjustment(
    p_user_id bigint, p_amount numeric, p_reason text, p_note text, p_reference text, p_reverses bigint,
    p_author_id bigint, p_idempotency_key text, p_fingerprint bytea, p_default_single numeric, p_default_daily numeric
) RETURNS ledger_adjustment_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    v_now timestamptz := clock_timestamp();
    v_today date := v_now AT TIME ZONE 'UTC';
    q ledger_adjustmentrequest;
    v_posted ledger_outcome;
    r ledger_adjustment_outcome;
BEGIN
    PERFORM ledger_refuse_inexact(p_amount);
    SELECT * INTO q FROM ledger_adjustmentrequest WHERE user_id = p_user_id AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN q.fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
        r.request_id := q.id;
        RETURN r;
    END IF;
    q.id := nextval('ledger_adjustmentrequest_id_seq');
    q.reason := ledger_reversal_reason(p_reverses, p_reason);
    q.second_person_because := ledger_second_person_because(
        p_author_id, v_today, p_user_id = p_author_id, abs(p_amount), p_default_single, p_default_daily);
    BEGIN
        v_posted := ledger_post_adjustment(
            p_user_id, p_amount, q.reason, p_note, p_reference, p_reverses, p_author_id, q.id, q.id::text);
        IF v_posted.outcome = 'posted' AND q.second_person_because IS NOT NULL THEN
            RAISE EXCEPTION 'it could be posted, but waits' USING ERRCODE = 'TB003';
        END IF;
    EXCEPTION WHEN SQLSTATE 'TB003' THEN
        v_posted.outcome := 'pending';  -- and the entry is undone
        v_posted.entry_id := NULL;
    END;
    r := ledger_adjustment_outcome_of(v_posted, q.id);
    IF r.outcome NOT IN ('posted', 'pending') THEN
        RETURN r;
    END IF;
    INSERT INTO ledger_adjustmentrequest (
        id, user_id, amount, total, reason, note, reference, reverses_id, balance_before, author_id, idempotency_key,
        fingerprint, second_person_because, state, decided_at, entry_id, created_at)
    VALUES (
        q.id, p_user_id, p_amount, abs(p_amount), q.reason, p_note, p_reference, p_reverses, v_balance.balance,
        p_author_id, p_idempotency_key, p_fingerprint, q.second_person_because,
        CASE r.outcome WHEN 'posted' THEN 'approved' ELSE 'pending' END,
        CASE r.outcome WHEN 'posted' THEN v_now END, r.entry_id, v_now);
    IF r.outcome = 'posted' THEN
        PERFORM ledger_count_adjustment(p_author_id, v_today, abs(p_amount));
    END IF;
    RETURN r;
END $$;

-- Whether a member of staff is a customer of a request, and so may not approve it.
CREATE FUNCTION ledger_is_adjusted_by(q ledger_adjustmentrequest, p_user_id bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT q.user_id IS NOT DISTINCT FROM p_user_id
        OR EXISTS (SELECT FROM ledger_adjustmentline WHERE request_id = q.id AND user_id = p_user_id)
$$;

-- Decide a request: `p_decision` is approved, rejected or withdrawn. An approved one posts its entry here, or, of a
-- file, lets its lines be posted. What cannot be posted leaves the request as it is.
CREATE FUNCTION ledger_decide_adjustment(p_request_id bigint, p_decision text, p_actor_id bigint, p_note text)
RETURNS ledger_adjustment_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_user_id bigint;
    q ledger_adjustmentrequest;
    r ledger_adjustment_outcome;
BEGIN
    SELECT user_id INTO v_user_id FROM ledger_adjustmentrequest WHERE id = p_request_id;
    IF v_user_id IS NOT NULL THEN
        PERFORM ledger_lock_balance(v_user_id);
    END IF;
    SELECT * INTO q FROM ledger_adjustmentrequest WHERE id = p_request_id FOR UPDATE;
    r.request_id := q.id;
    r.entry_id := q.entry_id;
    r.outcome := CASE
        WHEN q.id IS NULL THEN 'not_found'
        WHEN q.state <> 'pending' AND (q.state, q.decided_by_id) IS NOT DISTINCT FROM (p_decision, p_actor_id)
            THEN 'replayed'
        WHEN q.state <> 'pending' THEN 'decided'
        WHEN (p_decision = 'withdrawn') <> (p_actor_id = q.author_id) THEN 'own_request'
        WHEN p_decision = 'approved' AND ledger_is_adjusted_by(q, p_actor_id) THEN 'own_account'
    END;
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_decision <> 'approved' THEN
        r.outcome := p_decision;
        UPDATE ledger_adjustmentline SET outcome = 'dropped', settled_at = clock_timestamp() WHERE request_id = q.id;
    ELSIF q.user_id IS NULL THEN
        r.outcome := 'waiting';
    ELSE
        r := ledger_adjustment_outcome_of(
            ledger_post_adjustment(
                q.user_id, q.amount, q.reason, q.note, q.reference, q.reverses_id, q.author_id, q.id, q.id::text),
            q.id);
        IF r.outcome <> 'posted' THEN
            RETURN r;
        END IF;
    END IF;
    UPDATE ledger_adjustmentrequest SET
        state = p_decision, decided_by_id = p_actor_id, decided_at = clock_timestamp(), decision_note = p_note,
        entry_id = r.entry_id
    WHERE id = q.id;
    RETURN r;
END $$;

-- Ask for the adjustments of a file: `p_lines` is an array of {number, user_id, amount, reason, note, reference, key},
-- the last in hex. The lines are posted afterwards, once the limits or a second person allow the whole.
CREATE FUNCTION ledger_request_adjustment_file(
    p_lines jsonb, p_note text, p_file_name text, p_file_sha256 bytea, p_author_id bigint, p_idempotency_key text,
    p_fingerprint bytea, p_default_single numeric, p_default_daily numeric
) RETURNS ledger_adjustment_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_today date := v_now AT TIME ZONE 'UTC';
    v_lines ledger_adjustmentline[];
    v_total numeric;
    v_because text;
    q ledger_adjustmentrequest;
    r ledger_adjustment_outcome;
BEGIN
    SELECT array_agg(jsonb_populate_record(
            NULL::ledger_adjustmentline, each || jsonb_build_object('line_key', '\x' || (each ->> 'key')))),
        sum(abs((each ->> 'amount')::numeric))
    INTO v_lines, v_total FROM jsonb_array_elements(p_lines) each;
    v_because := ledger_second_person_because(
        p_author_id, v_today, EXISTS (SELECT FROM unnest(v_lines) WHERE user_id = p_author_id), v_total,
        p_default_single, p_default_daily);
    SELECT * INTO q FROM ledger_adjustmentrequest
    WHERE author_id = p_author_id AND user_id IS NULL AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN q.fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
        r.request_id := q.id;
        RETURN r;
    END IF;
    SELECT id INTO r.request_id FROM ledger_adjustmentrequest
    WHERE file_sha256 = p_file_sha256 AND state IN ('pending', 'approved');
    IF FOUND THEN
        r.outcome := 'file_known';
        RETURN r;
    END IF;
    INSERT INTO ledger_adjustmentrequest (
        total, note, file_name, file_sha256, line_count, author_id, idempotency_key, fingerprint, second_person_because,
        state, decided_at, created_at)
    VALUES (
        v_total, p_note, p_file_name, p_file_sha256, cardinality(v_lines), p_author_id, p_idempotency_key,
        p_fingerprint, v_because, CASE WHEN v_because IS NULL THEN 'approved' ELSE 'pending' END,
        CASE WHEN v_because IS NULL THEN v_now END, v_now)
    RETURNING id INTO r.request_id;
    INSERT INTO ledger_adjustmentline (request_id, number, user_id, amount, reason, note, reference, line_key)
    SELECT r.request_id, number, user_id, amount, reason, note, reference, line_key FROM unnest(v_lines);
    IF v_because IS NULL THEN
        PERFORM ledger_count_adjustment(p_author_id, v_today, v_total);
    END IF;
    r.outcome := CASE WHEN v_because IS NULL THEN 'waiting' ELSE 'pending' END;
    RETURN r;
END $$;

-- Post one line of an approved file, or (`p_refusal`) note why it was refused; a line that is settled stays as it is.
CREATE FUNCTION ledger_settle_adjustment_line(p_line_id bigint, p_refusal text) RETURNS ledger_adjustment_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    l ledger_adjustmentline;
    q ledger_adjustmentrequest;
    r ledger_adjustment_outcome;
BEGIN
    SELECT user_id INTO l.user_id FROM ledger_adjustmentline WHERE id = p_line_id;
    PERFORM ledger_lock_balance(l.user_id);
    SELECT * INTO l FROM ledger_adjustmentline WHERE id = p_line_id FOR UPDATE;
    SELECT * INTO q FROM ledger_adjustmentrequest WHERE id = l.request_id;
    r.request_id := q.id;
    r.entry_id := l.entry_id;
    IF l.outcome <> 'waiting' OR q.state <> 'approved' THEN
        r.outcome := 'replayed';
        RETURN r;
    END IF;
    IF p_refusal IS NOT NULL THEN
        r.outcome := 'refused';
    ELSE
        r := ledger_adjustment_outcome_of(
            ledger_post_adjustment(
                l.user_id, l.amount, l.reason, l.note, l.reference, NULL, q.author_id, q.id, q.id || ':' || l.number),
            q.id);
        IF r.outcome <> 'posted' THEN
            RETURN r;
        END IF;
    END IF;
    UPDATE ledger_adjustmentline SET
        outcome = r.outcome, entry_id = r.entry_id, refusal = coalesce(p_refusal, ''), settled_at = clock_timestamp()
    WHERE id = l.id;
    RETURN r;
END $$;
