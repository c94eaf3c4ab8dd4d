-- Payments: credits that are taken back because their money was, and what customers owe since.
--
-- Promises that what was bought with money that was refunded or disputed is taken back, at once as far as it is there,
-- and the rest before anybody can spend what comes in later (docs/decisions/0030).
-- Called by ledger/services/payments/reversals.py:settle_reversals; ledger_collect_owed_credits by whatever makes credits
-- available.
-- Locks: ledger_balance, then the payment.

-- Bring what is taken back of a payment's credits in line with what the provider took back of its money: refunds, and
-- disputes that are not won. Refunds of a part take back that part of the credits; for a dispute that was won they are
-- restored.
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
CREATE FUNCTION ledger_settle_reversals(p_payment_id bigint) RETURNS ledger_outcome
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
        PERFORM ledger_settle_reversing_entry(v_user_id);
    END IF;
    RETURN r;
END $$;

-- Take what a customer owes, the oldest purchase first, as far as it is there. The caller has locked the balance row,
-- and has written all that belongs to what came in. An index has the few payments that are looked at.
CREATE FUNCTION ledger_collect_owed_credits(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_payment_id bigint;
BEGIN
    FOR v_payment_id IN
        SELECT id FROM ledger_payment WHERE user_id = p_user_id AND credits_owed > 0 ORDER BY id
    LOOP
        PERFORM ledger_settle_reversals(v_payment_id);
    END LOOP;
END $$;
