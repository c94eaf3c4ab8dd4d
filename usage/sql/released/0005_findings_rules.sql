-- What migration 0005_findings_rules of usage runs: written by freeze_sql from sql/current/, never edited.

-- What came of noting or closing a finding.
--   outcome    noting: found (it is new) | reopened | known (it was open before, or the run looked before it was closed)
--              closing: closed | replayed | key_reused | unchanged (it is closed already) | not_found
--   event_id   the row that says so; NULL with known, key_reused, unchanged and not_found
CREATE TYPE usage_finding_outcome AS (outcome text, finding_id bigint, event_id bigint);

-- Lock a customer's balance, if there is one: it comes before everything else of the ledger.
CREATE FUNCTION usage_lock_balance_of_finding(p_user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ledger_balance WHERE user_id = p_user_id FOR NO KEY UPDATE;
END $$;

-- Note that a run has found something. Noting the same finding of the same run again changes nothing.
CREATE FUNCTION usage_note_finding(
    p_check_name text, p_subject text, p_user_id bigint, p_detail text, p_facts jsonb, p_run_id bigint
) RETURNS usage_finding_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r usage_finding_outcome;
    f usage_reconciliationfinding;
    v_now timestamptz;
BEGIN
    PERFORM usage_lock_balance_of_finding(p_user_id);
    v_now := clock_timestamp();
    INSERT INTO usage_reconciliationfinding (
        check_name, subject, user_id, detail, facts, found_at, last_found_at, last_run_id, times_found, opened_at)
    VALUES (p_check_name, p_subject, p_user_id, p_detail, p_facts, v_now, v_now, p_run_id, 1, v_now)
    ON CONFLICT (check_name, subject) DO NOTHING
    RETURNING id INTO r.finding_id;
    r.outcome := 'found';
    IF r.finding_id IS NULL THEN
        SELECT * INTO f FROM usage_reconciliationfinding
        WHERE check_name = p_check_name AND subject = p_subject FOR UPDATE;
        r.finding_id := f.id;
        r.outcome := CASE WHEN f.last_run_id <> p_run_id AND f.closed_at < (
            SELECT started_at FROM usage_reconciliationrun WHERE id = p_run_id) THEN 'reopened' ELSE 'known' END;
        UPDATE usage_reconciliationfinding SET
            detail = p_detail, facts = p_facts, last_found_at = v_now, last_run_id = p_run_id,
            times_found = times_found + 1,
            opened_at = CASE r.outcome WHEN 'reopened' THEN v_now ELSE opened_at END,
            closed_at = CASE r.outcome WHEN 'reopened' THEN NULL ELSE closed_at END
        WHERE id = f.id AND last_run_id <> p_run_id;
    END IF;
    IF r.outcome <> 'known' THEN
        INSERT INTO usage_findingevent (finding_id, kind, run_id, note, created_at)
        VALUES (r.finding_id, r.outcome, p_run_id, p_detail, v_now) RETURNING id INTO r.event_id;
    END IF;
    RETURN r;
END $$;

-- Close a finding, for a reason that stays.
CREATE FUNCTION usage_close_finding(
    p_finding_id bigint, p_note text, p_actor_id bigint, p_idempotency_key text, p_fingerprint bytea
) RETURNS usage_finding_outcome
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r usage_finding_outcome;
    f usage_reconciliationfinding;
    v_fingerprint bytea;
    v_now timestamptz;
BEGIN
    PERFORM usage_lock_balance_of_finding(user_id) FROM usage_reconciliationfinding WHERE id = p_finding_id;
    SELECT * INTO f FROM usage_reconciliationfinding WHERE id = p_finding_id FOR UPDATE;
    IF NOT FOUND THEN
        r.outcome := 'not_found';
        RETURN r;
    END IF;
    r.finding_id := f.id;
    SELECT id, fingerprint INTO r.event_id, v_fingerprint FROM usage_findingevent
    WHERE finding_id = f.id AND idempotency_key = p_idempotency_key;
    IF FOUND THEN
        r.outcome := CASE WHEN v_fingerprint = p_fingerprint THEN 'replayed' ELSE 'key_reused' END;
        RETURN r;
    END IF;
    IF f.closed_at IS NOT NULL THEN
        r.outcome := 'unchanged';
        RETURN r;
    END IF;
    v_now := clock_timestamp();
    UPDATE usage_reconciliationfinding SET closed_at = v_now WHERE id = f.id;
    INSERT INTO usage_findingevent (finding_id, kind, actor_id, note, idempotency_key, fingerprint, created_at)
    VALUES (f.id, 'closed', p_actor_id, p_note, p_idempotency_key, p_fingerprint, v_now) RETURNING id INTO r.event_id;
    r.outcome := 'closed';
    RETURN r;
END $$;

CREATE TRIGGER finding_keeps_its_identity BEFORE UPDATE ON usage_reconciliationfinding
    FOR EACH ROW
    WHEN ((OLD.check_name, OLD.subject, OLD.user_id, OLD.found_at)
          IS DISTINCT FROM (NEW.check_name, NEW.subject, NEW.user_id, NEW.found_at)
          OR NEW.times_found < OLD.times_found)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER finding_stays BEFORE DELETE OR TRUNCATE ON usage_reconciliationfinding
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER finding_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_findingevent
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
