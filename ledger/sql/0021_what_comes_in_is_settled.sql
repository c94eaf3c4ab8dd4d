-- Whatever gives credits back to grants, or takes them, settles what expires by that in its own transaction, so that the
-- ledger says at every moment what the balance does (docs/decisions/0039).

-- Settle what is due, if anything is. The caller holds the balance row.
CREATE FUNCTION ledger_settle_what_is_due(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id AND next_expiry_at <= clock_timestamp();
    IF FOUND THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
END $$;

-- Settle an entry that reverses another: it may have given credits back to a grant whose time has come. The caller holds
-- the balance row.
CREATE FUNCTION ledger_settle_what_came_in(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ledger_has_grants_that_end(p_user_id) THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
END $$;

-- Give back `p_credits` of a debit (NULL: all that was not given back yet) by an entry that says which. An inner room.
-- The credits return to the grants that the debit drew on; those whose time has come lose them at once, by an
-- entry that is made here too.
--   outcome      posted | replayed | key_reused | refund_exceeds_charge
--   available    with refund_exceeds_charge: what is left to give back
CREATE OR REPLACE FUNCTION ledger_refund(
    p_debit ledger_entry, p_credits numeric, p_description text, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_left numeric;
    v_credits numeric;
    r ledger_outcome;
BEGIN
    PERFORM ledger_lock_used_balance(p_debit.user_id);
    r := ledger_replay(p_debit.user_id, 'refund', p_idempotency_key, p_fingerprint);
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    v_left := -p_debit.amount - coalesce((SELECT sum(amount) FROM ledger_entry WHERE reverses_id = p_debit.id), 0);
    v_credits := coalesce(p_credits, v_left);
    IF v_left <= 0 OR v_credits > v_left THEN
        r.outcome := 'refund_exceeds_charge';
        r.available := v_left;
        RETURN r;
    END IF;
    PERFORM ledger_refuse_inexact(v_credits);
    r := ledger_move(
        p_debit.user_id, 'credit', 'refund', v_credits, p_description, p_debit.reference,
        jsonb_build_object('charge_id', p_debit.id), 'refund', p_idempotency_key, p_fingerprint, p_debit.id);
    IF r.outcome = 'posted' THEN
        PERFORM ledger_settle_what_came_in(p_debit.user_id);
    END IF;
    RETURN r;
END $$;

-- Bring what is taken back of a payment's credits in line with what the provider took back of its money: refunds, and
-- disputes that are not won. Refunds of a part take back that part of the credits; a dispute that was won gives back.
--   posted        an entry was made; it reverses the purchase
--   nothing       there is nothing to do (any more)
--   insufficient  the customer has spent the credits: what could not be taken is taken by a later call
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
    v_change numeric;  -- signed credits
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

    v_change := v_reversed - round(v_bought.amount * least(v_amount, v_refunded + v_disputed) / v_amount, 6);
    IF v_change < 0 THEN
        v_change := -least(-v_change, v_locked.balance - v_locked.reserved + v_locked.overdraft_limit);
        r.outcome := 'insufficient';
    END IF;
    r.available := v_locked.balance - v_locked.reserved;
    IF v_change = 0 THEN
        RETURN r;
    END IF;
    IF ledger_has_grants_that_end(v_user_id) AND ledger_is_far_behind(v_user_id) THEN
        r.outcome := 'unsettled';  -- what is left of the purchase's own grant is not known yet
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

-- Give back what an open hold still holds; what expired grants had kept for it is gone with it. Repeating the call with
-- its key answers `replayed`.
CREATE OR REPLACE FUNCTION ledger_release_hold(
    p_hold_id bigint, p_user_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold ledger_hold := ledger_lock_hold(p_hold_id, p_user_id);
    v_outcome text;
BEGIN
    IF v_hold.id IS NULL THEN
        RETURN ledger_hold_answer('not_found', v_hold, NULL, NULL);
    END IF;
    v_outcome := ledger_operation_replay(v_hold.user_id, 'release_hold', p_idempotency_key, p_fingerprint);
    IF v_outcome IS NOT NULL OR v_hold.status <> 'open' THEN
        RETURN ledger_hold_answer(coalesce(v_outcome, 'hold_' || v_hold.status), v_hold, NULL, NULL);
    END IF;
    UPDATE ledger_balance SET
        reserved = reserved - (v_hold.credits - v_hold.captured),
        updated_at = greatest(clock_timestamp(), updated_at)
    WHERE user_id = v_hold.user_id;
    UPDATE ledger_hold SET status = 'released', settled_at = clock_timestamp() WHERE id = p_hold_id
    RETURNING * INTO v_hold;
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
    VALUES (v_hold.user_id, 'release_hold', p_idempotency_key, p_fingerprint, p_hold_id);
    PERFORM ledger_settle_what_is_due(v_hold.user_id);
    RETURN ledger_hold_answer('released', v_hold, NULL, NULL);
END $$;

-- Turn `p_credits` of an open hold (NULL: all that is left; 0: nothing) into one debit. With `p_final` the rest is
-- given back and the hold is settled: captured, or released when nothing was ever taken; without, the rest stays held
-- until nothing is left. An inner room: metering calls it together with the request that it pays for.
CREATE OR REPLACE FUNCTION ledger_capture_hold(
    p_hold_id bigint, p_user_id bigint, p_credits numeric, p_final boolean, p_entry_id bigint, p_description text,
    p_reference text, p_metadata jsonb, p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_hold_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_hold ledger_hold := ledger_lock_hold(p_hold_id, p_user_id);
    v_left numeric := v_hold.credits - v_hold.captured;
    v_credits numeric := coalesce(p_credits, v_left);
    v_closes boolean := p_final OR v_credits = v_left;
    v_release numeric := CASE WHEN v_closes THEN v_left ELSE v_credits END;
    v_done ledger_outcome;
    v_outcome text;
BEGIN
    IF v_hold.id IS NULL THEN
        RETURN ledger_hold_answer('not_found', v_hold, NULL, NULL);
    END IF;
    v_done := ledger_replay(v_hold.user_id, 'capture_hold', p_idempotency_key, p_fingerprint);
    v_outcome := coalesce(
        v_done.outcome,
        ledger_operation_replay(v_hold.user_id, 'capture_hold', p_idempotency_key, p_fingerprint),
        CASE WHEN v_hold.status <> 'open' THEN 'hold_' || v_hold.status
            WHEN v_credits > v_left THEN 'capture_exceeds_hold' END);
    IF v_outcome IS NOT NULL THEN
        RETURN ledger_hold_answer(v_outcome, v_hold, v_done.entry_id, v_done.created_at);
    END IF;

    -- The hold before the balance moves: should it run out this very moment, it is settled for what is left of it.
    UPDATE ledger_hold SET
        captured = captured + v_credits,
        status = CASE WHEN NOT v_closes THEN 'open' WHEN captured + v_credits > 0 THEN 'captured' ELSE 'released' END,
        settled_at = CASE WHEN v_closes THEN clock_timestamp() END
    WHERE id = p_hold_id
    RETURNING * INTO v_hold;
    IF v_credits > 0 THEN
        v_done := ledger_move(
            v_hold.user_id, 'debit', 'capture', -v_credits, p_description, p_reference, p_metadata, 'capture_hold',
            p_idempotency_key, p_fingerprint, NULL, NULL, v_release, p_entry_id);
        IF v_done.outcome <> 'posted' THEN
            RAISE EXCEPTION 'what was held could not be taken: %', v_done.outcome;
        END IF;
    ELSE
        v_done.created_at := clock_timestamp();
        UPDATE ledger_balance SET reserved = reserved - v_release, updated_at = greatest(v_done.created_at, updated_at)
        WHERE user_id = v_hold.user_id AND v_release > 0;
        INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id)
        VALUES (v_hold.user_id, 'capture_hold', p_idempotency_key, p_fingerprint, p_hold_id);
    END IF;
    PERFORM ledger_settle_what_is_due(v_hold.user_id);
    RETURN ledger_hold_answer('captured', v_hold, v_done.entry_id, v_done.created_at);
END $$;

-- Settle what has expired, and at most `p_most` moves of the history further. Nobody is locked when there is nothing to
-- do. A caller that repeats it in transactions of its own gets through any history.
--   unreckoned    entries that are left to settle
--   expiries      entries that this made
CREATE OR REPLACE FUNCTION ledger_settle_grants(
    p_user_id bigint, p_most bigint, OUT unreckoned bigint, OUT expiries bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r ledger_grants_standing;
    v_seq bigint;
BEGIN
    unreckoned := 0;
    expiries := 0;
    PERFORM FROM ledger_balance b LEFT JOIN ledger_grantprogress p USING (user_id)
    WHERE b.user_id = p_user_id AND (b.seq > coalesce(p.seq, 0) OR b.next_expiry_at <= clock_timestamp());
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT seq INTO v_seq FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
    r := ledger_burn_down(p_user_id, NULL, p_most);
    PERFORM ledger_note_grants(p_user_id, r);
    unreckoned := v_seq - r.seq;
    IF unreckoned = 0 THEN
        PERFORM ledger_settle_what_is_due(p_user_id);
        expiries := (SELECT seq - v_seq FROM ledger_balance WHERE user_id = p_user_id);
        IF expiries > 0 THEN  -- what that made available may have been owed, and taken at once
            r := ledger_burn_down(p_user_id, NULL, p_most);
            PERFORM ledger_note_grants(p_user_id, r);
            unreckoned := v_seq + expiries - r.seq;
        END IF;
    END IF;
END $$;

-- Note which armed thresholds a move has fallen below, and watch the next lower one. Every 1024 entries let the next
-- call look whether something expires: it settles grants on that occasion, so that no history grows longer than that.
CREATE OR REPLACE FUNCTION ledger_note_crossing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.balance - NEW.reserved < NEW.watch_below THEN
        UPDATE ledger_threshold SET crossed_at = clock_timestamp()
        WHERE user_id = NEW.user_id AND crossed_at IS NULL AND below > NEW.balance - NEW.reserved;
        NEW.watch_below := (
            SELECT max(below) FROM ledger_threshold WHERE user_id = NEW.user_id AND crossed_at IS NULL);
    END IF;
    IF NEW.seq >> 10 <> OLD.seq >> 10 THEN
        NEW.next_expiry_at := least(NEW.next_expiry_at, clock_timestamp());
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER balance_notes_crossing BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.balance - NEW.reserved < NEW.watch_below OR NEW.seq >> 10 <> OLD.seq >> 10)
    EXECUTE FUNCTION ledger_note_crossing();

DROP FUNCTION ledger_reckon, ledger_note_reckoning, ledger_shares;
DROP TYPE ledger_reckoning, ledger_lot_draw, ledger_lot;
