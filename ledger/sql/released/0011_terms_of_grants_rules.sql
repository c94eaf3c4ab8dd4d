-- What migration 0011_terms_of_grants_rules of ledger runs: written by freeze_sql from sql/current/, never edited.

DROP FUNCTION ledger_expiry_entry;

-- What came of an attempt to change the end of a grant.
--   outcome      changed | replayed | key_reused | not_found | ended (its time has come) | used (nothing is left of it)
--                | not_later (it ends later than that, or never)
--   change_id    the row that says so, with `changed` and `replayed`
CREATE TYPE ledger_grant_terms_outcome AS (outcome text, change_id bigint);

-- Let a grant end now (`p_expires_at` NULL) or later than it would. What is left of a grant that ends expires at once, by
-- an entry with the reason that staff gave, except what open holds have reserved of it, as when its time comes by
-- itself. Repeating the call with its key changes nothing.
CREATE FUNCTION ledger_change_grant_end(
    p_user_id bigint, p_grant_id bigint, p_expires_at timestamptz, p_note text, p_actor_id bigint,
    p_idempotency_key text, p_fingerprint bytea
) RETURNS ledger_grant_terms_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_balance ledger_balance := ledger_lock_balance(p_user_id);
    v_fingerprint bytea;
    v_now timestamptz;
    g ledger_grant;
    r ledger_grant_terms_outcome;
BEGIN
    SELECT id, fingerprint INTO r.change_id, v_fingerprint
    FROM ledger_granttermschange WHERE user_id = p_user_id AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN v_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
        RETURN r;
    END IF;
    PERFORM ledger_refuse_long_history(p_user_id);
    PERFORM ledger_note_grants(p_user_id, ledger_burn_down(p_user_id, NULL));
    SELECT * INTO g FROM ledger_grant WHERE entry_id = p_grant_id AND user_id = p_user_id;
    v_now := clock_timestamp();
    r.outcome := CASE
        WHEN g.entry_id IS NULL THEN 'not_found'
        WHEN g.has_run_out OR g.expires_at <= v_now THEN 'ended'
        WHEN g.remaining = 0 THEN 'used'
        WHEN p_expires_at <= g.expires_at OR (p_expires_at IS NOT NULL AND g.expires_at IS NULL) THEN 'not_later'
    END;
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    INSERT INTO ledger_granttermschange (
        user_id, grant_id, kind, expires_before, expires_after, credits, note, actor_id, idempotency_key, fingerprint,
        created_at)
    VALUES (
        p_user_id, p_grant_id, CASE WHEN p_expires_at IS NULL THEN 'end' ELSE 'extend' END, g.expires_at,
        coalesce(p_expires_at, v_now), g.remaining, p_note, p_actor_id, p_idempotency_key, p_fingerprint, v_now)
    RETURNING id INTO r.change_id;
    -- The balance may expect an expiry at the old time; there it looks again, and finds the new one.
    UPDATE ledger_grant SET expires_at = coalesce(p_expires_at, v_now) WHERE entry_id = p_grant_id;
    IF p_expires_at IS NULL THEN
        PERFORM ledger_settle_expired(p_user_id);
    END IF;
    r.outcome := 'changed';
    RETURN r;
END $$;

-- The change that gave a grant the end that it has; no row: nobody changed it.
CREATE FUNCTION ledger_end_by_staff(p_user_id bigint, p_grant_id bigint) RETURNS ledger_granttermschange
LANGUAGE sql STABLE AS $$
    SELECT c FROM ledger_granttermschange c
    WHERE c.user_id = p_user_id AND c.grant_id = p_grant_id ORDER BY c.id DESC LIMIT 1
$$;

-- The latest change of a grant by staff has to lead from the end that it has to the one that it gets.
CREATE FUNCTION ledger_refuse_unrecorded_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_change ledger_granttermschange := ledger_end_by_staff(NEW.user_id, NEW.entry_id);
BEGIN
    IF OLD.has_run_out OR v_change.id IS NULL OR (v_change.expires_before, v_change.expires_after)
        IS DISTINCT FROM (OLD.expires_at, NEW.expires_at)
    THEN
        RAISE EXCEPTION 'UPDATE on ledger_grant is refused: a grant ends at another time only as it is recorded'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

-- The entry that says that a grant has expired. If staff have ended it, the entry has their reason.
CREATE FUNCTION ledger_expiry_entry(p_user_id bigint, p_grant_id bigint, p_seq bigint) RETURNS ledger_entry
LANGUAGE plpgsql STABLE AS $$
DECLARE
    e ledger_entry;
    v_change ledger_granttermschange := ledger_end_by_staff(p_user_id, p_grant_id);
BEGIN
    e.type := 'debit';
    e.reason := 'expiry';
    e.description := 'Credits expired';
    e.metadata := jsonb_build_object('grant_id', p_grant_id);
    e.operation := 'expire_grant';
    e.idempotency_key := format('%s:%s', p_grant_id, p_seq);
    IF v_change.kind = 'end' THEN
        e.description := v_change.note;
        e.actor_id := v_change.actor_id;
    END IF;
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
            e := ledger_expiry_entry(b.user_id, expiry.entry_id, b.seq);
        ELSE
            e := ledger_period_entry(p_periods[(1 - expiry.entry_id) / 2], expiry.entry_id % 2 = 0);
        END IF;
        e.fingerprint := sha256(convert_to(e.idempotency_key, 'UTF8'));
        b.seal := ledger_seal(
            b.seal, b.user_id, b.seq, e.type, e.reason, -expiry.credits, b.balance, e.description, NULL, e.metadata,
            e.operation, e.idempotency_key, e.fingerprint, NULL, e.actor_id, b.updated_at);
        INSERT INTO ledger_entry (
            user_id, seq, type, reason, amount, balance_after, description, metadata, operation, idempotency_key,
            fingerprint, actor_id, created_at, seal)
        VALUES (
            b.user_id, b.seq, e.type, e.reason, -expiry.credits, b.balance, e.description, e.metadata, e.operation,
            e.idempotency_key, e.fingerprint, e.actor_id, b.updated_at, b.seal)
        RETURNING id INTO e.id;
        IF expiry.credits > 0 THEN
            drawn := array_append(drawn, ROW(
                expiry.entry_id, b.seq, b.seq, expiry.credits, expiry.credits, expiry.credits)::ledger_grant_draw);
        ELSE
            made[-expiry.entry_id] := e.id;
        END IF;
    END LOOP;
END $$;

-- A grant ends at another time only by a change that is written down, and never again once it has ended.
CREATE TRIGGER grant_ends_as_recorded BEFORE UPDATE ON ledger_grant
    FOR EACH ROW WHEN (OLD.expires_at IS DISTINCT FROM NEW.expires_at)
    EXECUTE FUNCTION ledger_refuse_unrecorded_end();

CREATE TRIGGER grant_terms_change_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_granttermschange
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE OR REPLACE TRIGGER grant_keeps_its_terms BEFORE UPDATE ON ledger_grant
    FOR EACH ROW
    WHEN ((OLD.entry_id, OLD.user_id, OLD.seq, OLD.amount, OLD.category, OLD.priority, OLD.effective_at)
          IS DISTINCT FROM
          (NEW.entry_id, NEW.user_id, NEW.seq, NEW.amount, NEW.category, NEW.priority, NEW.effective_at)
          OR NEW.expired < OLD.expired)
    EXECUTE FUNCTION ledger_refuse_change();
