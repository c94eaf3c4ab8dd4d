-- Debits in batches: many debits of one customer at once, with one lock and one move of the balance.
--
-- Promises that each debit has its own entry and outcome, as if they had come one after the other.
-- Called by usage_debit_batch; usage_charge_batch has locked the balance.
-- Locks nothing itself.

-- One debit that is asked for.
CREATE TYPE ledger_debit AS (
    id bigint,
    credits numeric,
    description text,
    reference text,
    metadata jsonb,
    idempotency_key text,
    fingerprint bytea
);

-- Debit in the order given; what is not covered is refused, and what comes after it may still be. A debit of nothing
-- makes no entry: its outcome says what there is when its turn comes. A NULL among them is left out. The caller has
-- locked `p_locked` (ledger_lock_balance) and has looked the keys up under it. `p_most` is the most that may be debited
-- in all (NULL: no such limit); beyond it the reason is key_limit. Returns one outcome for each place.
CREATE FUNCTION ledger_debit_batch(
    p_locked ledger_balance, p_operation text, p_debits ledger_debit[], p_most numeric
) RETURNS ledger_outcome[] LANGUAGE plpgsql AS $$
DECLARE
    v_at timestamptz := greatest(clock_timestamp(), p_locked.updated_at);
    v_floor numeric := CASE WHEN p_locked.frozen_at IS NULL THEN p_locked.reserved - p_locked.overdraft_limit END;
    v_balance numeric := p_locked.balance;
    v_seq bigint := p_locked.seq;
    v_seal bytea := p_locked.seal;
    v_left numeric := p_most;
    v_seals bytea[] := '{}';
    v_outcomes ledger_outcome[] := '{}';
    v_outcome ledger_outcome;
    d ledger_debit;
BEGIN
    FOREACH d IN ARRAY p_debits LOOP
        PERFORM ledger_refuse_inexact(d.credits);
        IF d.credits IS NULL THEN
            v_outcome := NULL;
        ELSIF d.credits < 0 THEN
            RAISE EXCEPTION '% is no debit', d.credits USING ERRCODE = 'check_violation';
        ELSIF d.credits = 0 THEN
            v_outcome := ROW(
                'posted', NULL, NULL, v_balance, p_locked.reserved, v_balance - p_locked.reserved, NULL, NULL, v_at);
        ELSIF d.credits > v_left OR v_floor IS NULL OR v_balance - d.credits < v_floor THEN
            p_locked.balance := v_balance;
            v_outcome := ledger_refusal(p_locked, d.credits);
            v_outcome.created_at := v_at;
            IF d.credits > v_left THEN
                v_outcome.reason := 'key_limit';
            END IF;
        ELSE
            v_balance := v_balance - d.credits;
            v_left := v_left - d.credits;
            v_seq := v_seq + 1;
            v_seal := ledger_seal(
                v_seal, p_locked.user_id, v_seq, 'debit', 'usage', -d.credits, v_balance, d.description, d.reference,
                d.metadata, p_operation, d.idempotency_key, d.fingerprint, NULL, NULL, v_at);
            v_outcome := ROW(
                'posted', d.id, v_seq, v_balance, p_locked.reserved, v_balance - p_locked.reserved, NULL, NULL, v_at);
        END IF;
        v_outcomes := array_append(v_outcomes, v_outcome);
        v_seals := array_append(v_seals, CASE WHEN v_outcome.entry_id IS NOT NULL THEN v_seal END);
    END LOOP;

    IF v_seq > p_locked.seq THEN
        INSERT INTO ledger_entry (
            id, user_id, seq, type, reason, amount, balance_after, description, reference, metadata, operation,
            idempotency_key, fingerprint, created_at, seal)
        SELECT id, p_locked.user_id, seq, 'debit', 'usage', -credits, balance, description, reference, metadata,
            p_operation, idempotency_key, fingerprint, v_at, seal
        FROM ROWS FROM (unnest(p_debits), unnest(v_outcomes), unnest(v_seals)) AS made(
            id, credits, description, reference, metadata, idempotency_key, fingerprint,
            outcome, entry_id, seq, balance, reserved, available, reason, next_hold_expires_at, created_at, seal)
        WHERE entry_id IS NOT NULL ORDER BY seq;
        UPDATE ledger_balance SET balance = v_balance, seq = v_seq, seal = v_seal, updated_at = v_at
        WHERE user_id = p_locked.user_id;
    END IF;
    RETURN v_outcomes;
END $$;
