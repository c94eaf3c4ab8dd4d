-- What payments add to the ledger: credits that are taken back because their money was.

-- Bring what is taken back of a payment's credits in line with what the provider took back of its money: refunds, and
-- disputes that are not won. Refunds of a part take back that part of the credits; a dispute that was won gives back.
--   posted        an entry was made; it reverses the purchase
--   nothing       there is nothing to do (any more)
--   insufficient  the customer has spent the credits: what could not be taken is taken by a later call
--   not_found     no such payment
-- Frozen balances are no exception: what the bank took back was never the customer's. A balance is never pushed
-- below its overdraft limit. Repetition does nothing, and of several calls at once each finds what the others did.
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
    RETURN r;
END $$;

-- What a payment was made for never changes, and what was paid stays paid.
CREATE TRIGGER payment_stays BEFORE DELETE OR TRUNCATE ON ledger_payment
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_stays_what_it_is BEFORE UPDATE ON ledger_payment
    FOR EACH ROW
    WHEN ((NEW.user_id, NEW.credits, NEW.amount_minor, NEW.currency, NEW.provider, NEW.provider_key,
           NEW.idempotency_key)
              IS DISTINCT FROM (OLD.user_id, OLD.credits, OLD.amount_minor, OLD.currency, OLD.provider,
                                OLD.provider_key, OLD.idempotency_key)
          OR NEW.refunded_minor < OLD.refunded_minor
          OR (OLD.entry_id IS NOT NULL AND (NEW.entry_id, NEW.state) IS DISTINCT FROM (OLD.entry_id, OLD.state)))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_outcome_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_paymentoutcome
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_dispute_stays BEFORE DELETE OR TRUNCATE ON ledger_paymentdispute
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
