-- What customers owe, since credits that were to be taken back had been spent, is taken in the transaction of whatever
-- makes credits available to them again (docs/decisions/0030): purchases, reloads, grants, adjustments, periods of a
-- subscription, refunds of charges, disputes that are won, holds that are given back or run out, a higher overdraft
-- limit. Before anybody else can spend them, therefore.

-- Take what a customer owes, the oldest purchase first, as far as it is there. The caller holds the balance row, and
-- has written all that belongs to what came in. An index has the few payments that are looked at.
CREATE FUNCTION ledger_take_what_is_owed(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_payment_id bigint;
BEGIN
    FOR v_payment_id IN
        SELECT id FROM ledger_payment WHERE user_id = p_user_id AND credits_owed > 0 ORDER BY id
    LOOP
        PERFORM ledger_settle_reversals(v_payment_id);
    END LOOP;
END $$;

-- Bring what is taken back of a payment's credits in line with what the provider took back of its money: refunds, and
-- disputes that are not won. Refunds of a part take back that part of the credits; a dispute that was won gives back.
--   posted        an entry was made; it reverses the purchase
--   nothing       there is nothing to do (any more)
--   insufficient  the customer has spent the credits: what could not be taken stands in the payment's `credits_owed`,
--                 and is taken with whatever comes in
--   unsettled     first `ledger_settle_grants` has to be called until it is done, in transactions of its own
--   not_found     no such payment
-- Frozen balances are no exception: what the bank took back was never the customer's. A balance is never pushed
-- below its overdraft limit. Repetition does nothing, and of several calls at once each finds what the others did.
--
-- What is taken back is drawn from the purchase's own grant first, then from others as any debit; what a won dispute
-- gives back goes to the grants that were drawn on, the last first. What expires by that is settled here too.
-- Locks the balance, and nothing else; the payment and its disputes are read under that lock. To be called before or
-- after other work of a transaction that holds the same balance.
CREATE OR REPLACE FUNCTION ledger_settle_reversals(p_payment_id bigint) RETURNS ledger_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_user_id bigint;
    v_locked ledger_balance;
    v_bought ledger_entry;
    v_amount bigint;
    v_refunded bigint;
    v_disputed bigint;
    v_reversed numeric;
    v_reversals bigint;
    v_due numeric;     -- signed credits: what is to be done in all, less than 0 to take
    v_change numeric;  -- what of it is done now
    v_key text;
    r ledger_outcome;
BEGIN
    SELECT user_id INTO v_user_id FROM ledger_payment WHERE id = p_payment_id;
    IF NOT FOUND THEN
        r.outcome := 'not_found';
        RETURN r;
    END IF;
    v_locked := ledger_lock_balance(v_user_id);
    -- Read only now: whatever was noted before the balance was ours counts, and nobody decides from less.
    SELECT p.amount_minor, p.refunded_minor INTO v_amount, v_refunded FROM ledger_payment p WHERE p.id = p_payment_id;
    SELECT e.* INTO v_bought FROM ledger_entry e JOIN ledger_payment p ON p.entry_id = e.id
    WHERE p.id = p_payment_id AND e.user_id = v_user_id AND e.type = 'credit' AND e.operation = 'payment'
        AND e.idempotency_key = p_payment_id::text;
    r.outcome := 'nothing';
    IF v_bought.id IS NULL THEN
        RETURN r;
    END IF;
    SELECT coalesce(sum(amount_minor), 0) INTO v_disputed
    FROM ledger_paymentdispute WHERE payment_id = p_payment_id AND status <> 'won';
    SELECT -coalesce(sum(amount), 0), count(*) INTO v_reversed, v_reversals
    FROM ledger_entry WHERE reverses_id = v_bought.id;

    v_due := v_reversed - round(v_bought.amount * least(v_amount, v_refunded + v_disputed) / v_amount, 6);
    v_change := v_due;
    IF v_change < 0 THEN
        v_change := -least(-v_change, v_locked.balance - v_locked.reserved + v_locked.overdraft_limit);
        r.outcome := 'insufficient';
    END IF;
    r.available := v_locked.balance - v_locked.reserved;
    IF v_change <> 0 AND ledger_has_grants_that_end(v_user_id) AND ledger_is_far_behind(v_user_id) THEN
        r.outcome := 'unsettled';  -- what is left of the purchase's own grant is not known yet
        v_change := 0;
    END IF;
    UPDATE ledger_payment SET credits_owed = greatest(v_change - v_due, 0)
    WHERE id = p_payment_id AND credits_owed <> greatest(v_change - v_due, 0);
    IF v_change = 0 THEN
        RETURN r;
    END IF;
    IF v_locked.frozen_at IS NOT NULL THEN  -- within this transaction and under its lock: nobody sees it thawed
        UPDATE ledger_balance SET frozen_at = NULL WHERE user_id = v_user_id;
    END IF;
    v_key := v_bought.id || ':' || v_reversals;
    r := ledger_move(
        v_user_id, 'adjustment', 'chargeback', v_change,
        CASE WHEN v_change > 0 THEN 'Payment restored' WHEN v_disputed > 0 THEN 'Payment disputed'
             ELSE 'Payment refunded' END,
        v_bought.reference, jsonb_build_object('payment_id', p_payment_id), 'payment_reversal', v_key,
        sha256(convert_to(v_key, 'UTF8')), v_bought.id);
    IF v_locked.frozen_at IS NOT NULL THEN
        UPDATE ledger_balance SET frozen_at = v_locked.frozen_at WHERE user_id = v_user_id;
    END IF;
    IF r.outcome = 'posted' THEN
        PERFORM ledger_settle_what_came_in(v_user_id);
    END IF;
    RETURN r;
END $$;

-- Settle what is due, if anything is, and take what is owed of what a hold may have given back. The caller
-- holds the balance row.
CREATE OR REPLACE FUNCTION ledger_settle_what_is_due(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp();
    IF FOUND THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    PERFORM ledger_take_what_is_owed(p_user_id);
END $$;

-- Settle an entry that reverses another: it may have given credits back to a grant whose time has come, or
-- to a customer who owes some. The caller holds the balance row.
CREATE OR REPLACE FUNCTION ledger_settle_what_came_in(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ledger_has_grants_that_end(p_user_id) THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    PERFORM ledger_take_what_is_owed(p_user_id);
END $$;

-- Hold the customer's balance row until the transaction ends, making it if it is the first use, with
-- whatever has expired settled. The order that every rule keeps: this first, then the key, then the amount.
-- FOR NO KEY UPDATE: rows that refer to the balance may still be inserted meanwhile.
CREATE OR REPLACE FUNCTION ledger_lock_balance(p_user_id bigint) RETURNS ledger_balance LANGUAGE plpgsql AS $$
DECLARE
    v_balance ledger_balance;
BEGIN
    -- Nothing has changed yet, so the balance is as old as the account. The foreign key, checked when the
    -- transaction ends, would tell too late that there is no such customer.
    INSERT INTO ledger_balance (user_id, updated_at)
    SELECT id, least(created_at, clock_timestamp()) FROM accounts_user WHERE id = p_user_id
    ON CONFLICT DO NOTHING;
    SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no customer %', p_user_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_balance.next_expiry_at <= clock_timestamp() THEN
        PERFORM ledger_settle_expired(p_user_id);
        PERFORM ledger_take_what_is_owed(p_user_id);
        SELECT * INTO v_balance FROM ledger_balance WHERE user_id = p_user_id;
    END IF;
    RETURN v_balance;
END $$;

-- Settle every hold of one customer that has expired; answers how many there were.
-- Reads and charges are exact without it: this only tidies up after customers who have stopped calling.
-- The balance row is locked first, as in ledger_lock_balance, and looked at again under the lock: of two runs at
-- once, or a run and a charge, one settles a hold and the other finds nothing to do.
CREATE OR REPLACE FUNCTION ledger_expire_holds(p_user_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_settled integer;
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp() FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    v_settled := ledger_settle_expired(p_user_id);
    PERFORM ledger_take_what_is_owed(p_user_id);
    RETURN v_settled;
END $$;

-- Bring a customer's subscription to where it stands now, and let the balance expect its next step; the balance row is
-- held from here on. Answers with the time.
CREATE OR REPLACE FUNCTION ledger_renew(p_user_id bigint) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM ledger_lock_balance(p_user_id);
    PERFORM ledger_settle_expired(p_user_id);
    PERFORM ledger_take_what_is_owed(p_user_id);
    RETURN clock_timestamp();
END $$;

-- Post one entry that is not usage: a purchase, a grant, an adjustment.
-- `p_amount` is signed credits. Repeating a call with its key answers `replayed` and the entry made then.
CREATE OR REPLACE FUNCTION ledger_post_entry(
    p_user_id bigint, p_type text, p_reason text, p_amount numeric, p_description text, p_reference text,
    p_metadata jsonb, p_operation text, p_idempotency_key text, p_fingerprint bytea, p_actor_id bigint
) RETURNS ledger_outcome LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_outcome;
BEGIN
    IF (p_type, p_reason) NOT IN (
        ('credit', 'purchase'), ('credit', 'grant'), ('credit', 'auto_reload'),
        ('adjustment', 'goodwill'), ('adjustment', 'correction'), ('adjustment', 'chargeback')
    ) THEN
        RAISE EXCEPTION 'entries of type % and reason % are not posted by hand', p_type, p_reason
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM ledger_refuse_inexact(p_amount);
    r := ledger_replay(p_user_id, p_operation, p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    r := ledger_move(
        p_user_id, p_type, p_reason, p_amount, p_description, p_reference, p_metadata, p_operation,
        p_idempotency_key, p_fingerprint, NULL, p_actor_id);
    IF p_amount > 0 AND r.outcome = 'posted' THEN
        PERFORM ledger_take_what_is_owed(p_user_id);
    END IF;
    RETURN r;
END $$;

-- Post a credit that is a grant with terms of its own. NULL terms are the usual ones.
--   outcome    as ledger_post_entry, and untimely (it would begin later than now, or end before)
CREATE OR REPLACE FUNCTION ledger_open_grant(
    p_user_id bigint, p_reason text, p_amount numeric, p_description text, p_reference text, p_metadata jsonb,
    p_operation text, p_idempotency_key text, p_fingerprint bytea, p_category text, p_priority integer,
    p_effective_at timestamptz, p_expires_at timestamptz
) RETURNS ledger_outcome LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_outcome := ledger_replay(p_user_id, p_operation, p_idempotency_key, p_fingerprint);
    v_now timestamptz := clock_timestamp();
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_effective_at > v_now OR p_expires_at <= v_now THEN
        r.outcome := 'untimely';
        RETURN r;
    END IF;
    IF p_reason NOT IN ('purchase', 'grant', 'auto_reload') THEN
        RAISE EXCEPTION 'no grant is opened for the reason %', p_reason USING ERRCODE = 'check_violation';
    END IF;
    PERFORM ledger_refuse_inexact(p_amount);
    r := ledger_move(
        p_user_id, 'credit', p_reason, p_amount, p_description, p_reference, p_metadata, p_operation,
        p_idempotency_key, p_fingerprint);
    IF r.outcome = 'posted' THEN
        INSERT INTO ledger_grant (
            entry_id, user_id, seq, amount, remaining, category, priority, effective_at, expires_at, created_at)
        VALUES (
            r.entry_id, p_user_id, r.seq, p_amount, p_amount,
            coalesce(p_category, CASE p_reason WHEN 'grant' THEN 'promotional' ELSE 'paid' END),
            coalesce(p_priority, 50), least(coalesce(p_effective_at, r.created_at), v_now), p_expires_at, r.created_at);
        UPDATE ledger_balance SET next_expiry_at = p_expires_at
        WHERE user_id = p_user_id AND next_expiry_at > p_expires_at;
        PERFORM ledger_take_what_is_owed(p_user_id);
    END IF;
    RETURN r;
END $$;

-- Let a customer's available credits fall to -`p_limit` (0 or more credits). A limit below what is overdrawn
-- already is refused: the balance would break its own rule.
CREATE OR REPLACE FUNCTION ledger_set_overdraft(
    p_user_id bigint, p_limit numeric, p_note text, p_actor_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_terms_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    r ledger_terms_outcome;
BEGIN
    PERFORM ledger_refuse_inexact(p_limit);
    r := ledger_replay_terms(p_user_id, p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_limit = v_balance.overdraft_limit THEN
        r.outcome := 'unchanged';
        RETURN r;
    END IF;
    IF p_limit < v_balance.reserved - v_balance.balance THEN
        r.outcome := 'too_low';
        r.overdrawn := v_balance.reserved - v_balance.balance;
        RETURN r;
    END IF;
    UPDATE ledger_balance SET overdraft_limit = p_limit WHERE user_id = p_user_id;
    INSERT INTO ledger_termschange (
        user_id, kind, limit_before, limit_after, note, actor_id, idempotency_key, fingerprint, created_at)
    VALUES (
        p_user_id, 'overdraft', v_balance.overdraft_limit, p_limit, p_note, p_actor_id, p_idempotency_key,
        p_fingerprint, clock_timestamp())
    RETURNING id INTO r.change_id;
    PERFORM ledger_take_what_is_owed(p_user_id);
    r.outcome := 'changed';
    RETURN r;
END $$;
