-- Leads back from 0011_terms_of_grants_rules.sql to what was before it.

DROP TRIGGER grant_terms_change_is_append_only ON ledger_granttermschange;

DROP TRIGGER grant_ends_as_recorded ON ledger_grant;

DROP FUNCTION ledger_expiry_entry;

DROP FUNCTION ledger_refuse_unrecorded_end;

DROP FUNCTION ledger_end_by_staff;

DROP FUNCTION ledger_change_grant_end;

DROP TYPE ledger_grant_terms_outcome;

-- The entry that says that a grant has expired.
CREATE FUNCTION ledger_expiry_entry(p_grant_id bigint, p_seq bigint) RETURNS ledger_entry LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    e ledger_entry;
BEGIN
    e.type := 'debit';
    e.reason := 'expiry';
    e.description := 'Credits expired';
    e.metadata := jsonb_build_object('grant_id', p_grant_id);
    e.operation := 'expire_grant';
    e.idempotency_key := format('%s:%s', p_grant_id, p_seq);
    RETURN e;
END $$;

-- Write the entries of what has expired and what periods have brought; returns the balance after them and their ids, in
-- the order of the stand-ins of periods' grants. The row of the balance is left to the caller.
CREATE OR REPLACE FUNCTION ledger_post_expiries(
    INOUT b ledger_balance, p_expiries ledger_grant_expiry[], p_periods ledger_due_period[], OUT made bigint[],
    OUT drawn ledger_grant_draw[]
) LANGUAGE plpgsql AS $$
DECLARE
    e ledger_entry;
    expiry ledger_grant_expiry;
BEGIN
    made := '{}';
    drawn := '{}';
    FOREACH expiry IN ARRAY p_expiries LOOP
        b.seq := b.seq + 1;
        b.balance := b.balance - expiry.credits;
        b.granted_total := b.granted_total - expiry.credits;
        b.updated_at := greatest(b.updated_at, expiry.expired_at);
        IF expiry.credits > 0 THEN
            IF expiry.entry_id < 0 THEN
                expiry.entry_id := made[-expiry.entry_id];
            END IF;
            e := ledger_expiry_entry(expiry.entry_id, b.seq);
        ELSE
            e := ledger_period_entry(p_periods[(1 - expiry.entry_id) / 2], expiry.entry_id % 2 = 0);
        END IF;
        e.fingerprint := sha256(convert_to(e.idempotency_key, 'UTF8'));
        b.seal := ledger_seal(
            b.seal, b.user_id, b.seq, e.type, e.reason, -expiry.credits, b.balance, e.description, NULL, e.metadata,
            e.operation, e.idempotency_key, e.fingerprint, NULL, NULL, b.updated_at);
        INSERT INTO ledger_entry (
            user_id, seq, type, reason, amount, balance_after, description, metadata, operation, idempotency_key,
            fingerprint, created_at, seal)
        VALUES (
            b.user_id, b.seq, e.type, e.reason, -expiry.credits, b.balance, e.description, e.metadata, e.operation,
            e.idempotency_key, e.fingerprint, b.updated_at, b.seal)
        RETURNING id INTO e.id;
        IF expiry.credits > 0 THEN
            drawn := array_append(drawn, ROW(
                expiry.entry_id, b.seq, b.seq, expiry.credits, expiry.credits, expiry.credits)::ledger_grant_draw);
        ELSE
            made[-expiry.entry_id] := e.id;
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE TRIGGER grant_keeps_its_terms BEFORE UPDATE ON ledger_grant
    FOR EACH ROW
    WHEN ((OLD.entry_id, OLD.user_id, OLD.seq, OLD.amount, OLD.category, OLD.priority, OLD.effective_at, OLD.expires_at)
          IS DISTINCT FROM
          (NEW.entry_id, NEW.user_id, NEW.seq, NEW.amount, NEW.category, NEW.priority, NEW.effective_at, NEW.expires_at)
          OR NEW.expired < OLD.expired)
    EXECUTE FUNCTION ledger_refuse_change();
