-- Spending of keys: how much was spent by a key that has a limit, in its running period.
--
-- Promises that of many requests at once none is let through on an old count, and that no charge reads the log to
-- count. What was spent is counted when a limit is set. Each row also counts what is spent from the next reset day on,
-- so that the next period begins with a number that is known; `next_on` is that day, NULL where none was counted.
-- Called by the metering functions, usage/services/counting.py:with_count (usage_count_key),
-- usage/selectors.py:spending_of_key, usage/standings.py:budget_of, and by triggers of accounts_apikey.
-- Locks: ledger_balance, then usage_keyspending.

-- The UTC day on which the running count of a key's spending began: the reset day, or the last of a shorter month.
CREATE FUNCTION usage_spending_began(p_reset_day integer, p_at timestamptz) RETURNS date
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_day date := p_at AT TIME ZONE 'UTC';
    v_month date := date_trunc('month', v_day::timestamp);
    v_next date := v_month + interval '1 month';
    v_reset date := v_month + least(p_reset_day, v_next - v_month) - 1;
BEGIN
    IF v_reset > v_day THEN
        v_next := v_month;
        v_month := v_month - interval '1 month';
        v_reset := v_month + least(p_reset_day, v_next - v_month) - 1;
    END IF;
    RETURN v_reset;
END $$;

-- The reset day that follows the one on which a count began: 28 to 31 days later, and never two of them within 32.
CREATE FUNCTION usage_spending_ends(p_reset_day integer, p_began_on date) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT usage_spending_began(p_reset_day, (p_began_on + 32)::timestamp AT TIME ZONE 'UTC')
$$;

-- What was spent by a key and those that rotations put in its place since a day began (UTC), as the log knows it.
-- `p_original_key_id` is the first of them.
CREATE FUNCTION usage_key_spent_in_log(p_user_id bigint, p_original_key_id bigint, p_began_on date) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(r.credits - coalesce(f.credits, 0)), 0)
    FROM usage_requestlog r
    JOIN accounts_apikey k ON k.id = r.api_key_id AND coalesce(k.original_id, k.id) = p_original_key_id
    LEFT JOIN LATERAL (
        SELECT sum(credits) AS credits FROM usage_refund
        WHERE user_id = r.user_id AND charge_id = r.entry_id AND occurred_at = r.occurred_at
    ) f ON r.credits > 0
    WHERE r.user_id = p_user_id AND r.occurred_at >= p_began_on::timestamp AT TIME ZONE 'UTC'
$$;

-- What was spent by a key (the first of those that rotations put in each other's place) since a day began (UTC): at
-- once where it is counted, which it is as long as the key has a limit; else from the log. What was counted since an
-- earlier day and was not added to since is nothing, too.
CREATE FUNCTION usage_key_spent(p_user_id bigint, p_original_key_id bigint, p_began_on date) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT credits FROM usage_keyspending
         WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on = p_began_on),
        (SELECT next_credits FROM usage_keyspending
         WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND next_on = p_began_on LIMIT 1),
        (SELECT 0 FROM usage_keyspending
         WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on < p_began_on
             AND counted_on < p_began_on LIMIT 1),
        usage_key_spent_in_log(p_user_id, p_original_key_id, p_began_on))
$$;

-- What open holds of a key, and of those that rotations put in its place, still hold.
CREATE FUNCTION usage_key_held(p_user_id bigint, p_original_key_id bigint, p_at timestamptz) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(credits - captured), 0) FROM ledger_hold
    WHERE user_id = p_user_id AND status = 'open' AND expires_at > p_at AND api_key_id = ANY(ARRAY(
        SELECT id FROM accounts_apikey
        WHERE user_id = p_user_id AND coalesce(original_id, id) = p_original_key_id))
$$;

-- Where a key with a limit stands, for a refusal or a look: {limit, spent, held, resets_at}, credits as text.
CREATE FUNCTION usage_key_standing(
    p_user_id bigint, p_original_key_id bigint, p_spending_limit numeric, p_reset_day integer, p_at timestamptz
) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'limit', p_spending_limit::text,
        'spent', usage_key_spent(p_user_id, p_original_key_id, began_on)::text,
        'held', usage_key_held(p_user_id, p_original_key_id, p_at)::text,
        'resets_on', usage_spending_ends(p_reset_day, began_on))
    FROM (SELECT usage_spending_began(p_reset_day, p_at) AS began_on OFFSET 0) period
$$;

-- How much may still be spent by a key: its limit less what was spent since the count began, and what it holds. The
-- first look of a period begins its count, with what the count before it knows. The caller has locked the customer's
-- balance, as does everyone who adds: so of many requests at once none is let through on an old count. The log is never
-- read here. Where nothing is counted (the one way: a sibling without a limit was used instead of the key for longer
-- than a period) the call ends with SQLSTATE TB002, and comes again after usage_count_key.
CREATE FUNCTION usage_key_left(p_customer usage_customer, p_at timestamptz) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
    v_began date := usage_spending_began(p_customer.spending_reset_day, p_at);
    v_spent numeric;
BEGIN
    SELECT credits INTO v_spent FROM usage_keyspending
    WHERE user_id = p_customer.user_id AND api_key_id = p_customer.original_key_id AND began_on = v_began;
    IF NOT FOUND THEN
        SELECT CASE WHEN next_on = v_began THEN next_credits ELSE 0 END INTO v_spent FROM usage_keyspending
        WHERE user_id = p_customer.user_id AND api_key_id = p_customer.original_key_id
            AND (next_on = v_began OR (began_on < v_began AND counted_on < v_began))
        ORDER BY (next_on = v_began) IS TRUE DESC LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'what this key has spent is not counted' USING ERRCODE = 'TB002';
        END IF;
        PERFORM usage_note_key_spending(
            p_customer.user_id, p_customer.original_key_id, p_customer.spending_reset_day, v_began, v_spent,
            usage_key_spent_in_log(
                p_customer.user_id, p_customer.original_key_id,
                usage_spending_ends(p_customer.spending_reset_day, v_began)),
            p_at);
    END IF;
    RETURN p_customer.spending_limit - v_spent - coalesce((
        SELECT sum(credits - captured) FROM ledger_hold
        WHERE user_id = p_customer.user_id AND status = 'open' AND api_key_id = ANY(ARRAY(
            SELECT id FROM accounts_apikey
            WHERE user_id = p_customer.user_id AND coalesce(original_id, id) = p_customer.original_key_id))), 0);
END $$;

-- Debit a request by a key that has a limit: refused with the reason key_limit where it would be exceeded.
CREATE FUNCTION usage_move_within_limit(
    p_customer usage_customer, p_credits numeric, p_description text, p_reference text, p_metadata jsonb,
    p_idempotency_key text, p_fingerprint bytea, p_id bigint
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_customer.user_id);
    r ledger_outcome;
BEGIN
    IF usage_key_left(p_customer, clock_timestamp()) < p_credits THEN
        r := ledger_refusal(v_balance, p_credits);
        r.reason := 'key_limit';
        RETURN r;
    END IF;
    RETURN ledger_move(
        p_customer.user_id, 'debit', 'usage', -p_credits, p_description, p_reference, p_metadata, 'charge',
        p_idempotency_key, p_fingerprint, p_entry_id => p_id);
END $$;

-- Add to what was spent by a key (or take from it, for a refund), wherever that is being counted: `p_day` (UTC) is the
-- day of the request. The caller has locked the customer's balance.
CREATE FUNCTION usage_count_key_spending(p_user_id bigint, p_api_key_id bigint, p_credits numeric, p_day date)
RETURNS void LANGUAGE sql AS $$
    UPDATE usage_keyspending s SET
        credits = s.credits + p_credits,
        next_credits = s.next_credits + CASE WHEN p_day >= s.next_on THEN p_credits ELSE 0 END,
        counted_on = greatest(s.counted_on, p_day)
    FROM accounts_apikey k
    WHERE k.id = p_api_key_id AND s.user_id = p_user_id AND s.api_key_id = coalesce(k.original_id, k.id)
        AND s.began_on <= p_day
$$;

-- Begin a count with what is known to be spent since its day. The caller has locked the customer's balance, as does
-- everyone who adds. Counts of earlier periods go, but for those that another key of the rotation is in.
CREATE FUNCTION usage_note_key_spending(
    p_user_id bigint, p_original_key_id bigint, p_reset_day integer, p_began_on date, p_credits numeric,
    p_next_credits numeric, p_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM usage_keyspending s
    WHERE s.user_id = p_user_id AND s.api_key_id = p_original_key_id AND s.began_on < p_began_on AND NOT EXISTS (
        SELECT FROM accounts_apikey k
        WHERE k.user_id = p_user_id AND coalesce(k.original_id, k.id) = p_original_key_id
            AND k.spending_limit IS NOT NULL AND usage_spending_began(k.spending_reset_day, p_at) = s.began_on);
    -- Some of it may have been reported minutes ahead of its time.
    INSERT INTO usage_keyspending (user_id, api_key_id, began_on, counted_on, credits, next_on, next_credits)
    VALUES (
        p_user_id, p_original_key_id, p_began_on, ((p_at + interval '10 minutes') AT TIME ZONE 'UTC')::date, p_credits,
        usage_spending_ends(p_reset_day, p_began_on), p_next_credits)
    ON CONFLICT DO NOTHING;
END $$;

-- Count from the log what was spent by a key in the running period, unless that is being counted.
-- The log may be long: it is read without any lock, and then, with the balance locked, only what was paid meanwhile is
-- added. Each call that adds locks the balance: an earlier one is in the one or the other, a later one finds the count,
-- once this transaction has ended.
CREATE FUNCTION usage_count_key_from_log(p_user_id bigint, p_original_key_id bigint, p_reset_day integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_began_on date := usage_spending_began(p_reset_day, v_at);
    v_began_at timestamptz := v_began_on::timestamp AT TIME ZONE 'UTC';
    v_next_on date := usage_spending_ends(p_reset_day, v_began_on);
    v_seq bigint;
    v_now_seq bigint;
    v_spent numeric;
    v_paid_meanwhile bigint[];
BEGIN
    PERFORM FROM usage_keyspending
    WHERE user_id = p_user_id AND api_key_id = p_original_key_id AND began_on = v_began_on;
    IF FOUND THEN
        RETURN;
    END IF;
    -- One statement, one snapshot: what it finds in the log was paid by the entries up to this seq, and by none else.
    SELECT coalesce((SELECT seq FROM ledger_balance WHERE user_id = p_user_id), 0),
        usage_key_spent(p_user_id, p_original_key_id, v_began_on)
    INTO v_seq, v_spent;

    SELECT seq INTO v_now_seq FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        v_now_seq := (ledger_lock_balance(p_user_id)).seq;
    END IF;
    IF v_now_seq > v_seq THEN
        SELECT array_agg(id ORDER BY id) INTO v_paid_meanwhile FROM ledger_entry
        WHERE user_id = p_user_id AND seq > v_seq AND reason IN ('usage', 'capture');
        -- A row of the log has the id of the entry that paid for it, or, one of a batch, a later one.
        v_spent := v_spent + coalesce((
            SELECT sum(r.credits) FROM usage_requestlog r
            JOIN accounts_apikey k ON k.id = r.api_key_id AND coalesce(k.original_id, k.id) = p_original_key_id
            WHERE r.user_id = p_user_id AND r.occurred_at >= v_began_at AND r.id >= v_paid_meanwhile[1]
                AND r.entry_id = ANY(v_paid_meanwhile)), 0) - coalesce((
            SELECT sum(f.credits) FROM ledger_entry e
            JOIN usage_refund f ON f.entry_id = e.id
            JOIN usage_requestlog r ON r.id = f.charge_id AND r.occurred_at = f.occurred_at
            JOIN accounts_apikey k ON k.id = r.api_key_id AND coalesce(k.original_id, k.id) = p_original_key_id
            WHERE e.user_id = p_user_id AND e.seq > v_seq AND e.reason IN ('refund', 'reversal')
                AND f.occurred_at >= v_began_at), 0);
    END IF;
    PERFORM usage_note_key_spending(
        p_user_id, p_original_key_id, p_reset_day, v_began_on, v_spent,
        usage_key_spent_in_log(p_user_id, p_original_key_id, v_next_on), v_at);
END $$;

-- The same for a key by its SHA-256, when a charge has found that nothing is counted (SQLSTATE TB002): outside of it.
CREATE FUNCTION usage_count_key(p_key_hash bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT usage_count_key_from_log(user_id, coalesce(original_id, id), spending_reset_day) FROM accounts_apikey
    WHERE key_hash = p_key_hash AND user_id IS NOT NULL
$$;

-- A new key has spent nothing: that is known without a look at the log. A limit that is set, or that begins anew on
-- another day, and a limited key in the place of another, are counted here, outside of any charge.
CREATE FUNCTION usage_begin_key_spending() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    IF TG_OP = 'INSERT' AND NEW.original_id IS NULL THEN
        PERFORM usage_note_key_spending(
            NEW.user_id, NEW.id, NEW.spending_reset_day, usage_spending_began(NEW.spending_reset_day, v_now), 0, 0, v_now);
    ELSE
        PERFORM usage_count_key_from_log(NEW.user_id, coalesce(NEW.original_id, NEW.id), NEW.spending_reset_day);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER a_new_key_has_spent_nothing AFTER INSERT ON accounts_apikey
    FOR EACH ROW WHEN (NEW.spending_limit IS NOT NULL AND NEW.original_id IS NULL)
    EXECUTE FUNCTION usage_begin_key_spending();

CREATE TRIGGER a_limited_key_goes_on_counting AFTER INSERT ON accounts_apikey
    FOR EACH ROW WHEN (NEW.spending_limit IS NOT NULL AND NEW.original_id IS NOT NULL)
    EXECUTE FUNCTION usage_begin_key_spending();

CREATE TRIGGER a_limit_is_counted_when_it_is_set AFTER UPDATE OF spending_limit, spending_reset_day ON accounts_apikey
    FOR EACH ROW WHEN (NEW.spending_limit IS NOT NULL AND (NEW.spending_limit, NEW.spending_reset_day)
        IS DISTINCT FROM (OLD.spending_limit, OLD.spending_reset_day))
    EXECUTE FUNCTION usage_begin_key_spending();
