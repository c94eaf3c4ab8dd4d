-- Guards: what the database insists on, even against the owner of the tables.
--
-- Promises that what is recorded is never altered or removed. The triggers are meant against mistakes; against somebody
-- who drops them there are the seal and `manage.py reconcile`. They are statement triggers, so that a statement that
-- matches no row is refused too.
-- Called by nobody: the tables' triggers run them. `manage.py doctor` (config/doctor/structure.py:triggers) looks
-- whether those that ledger/apps.py lists in `guards` are in force. Locks nothing.

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: what it records is never altered or removed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER adjustment_day_only_rises BEFORE UPDATE ON ledger_adjustmentday
    FOR EACH ROW
    WHEN (NEW.credits < OLD.credits OR (NEW.author_id, NEW.day) IS DISTINCT FROM (OLD.author_id, OLD.day))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER adjustment_day_stays BEFORE DELETE OR TRUNCATE ON ledger_adjustmentday
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- A line is settled once, and a request is decided once; what was asked for never changes.
CREATE TRIGGER adjustment_line_is_settled_once BEFORE UPDATE ON ledger_adjustmentline
    FOR EACH ROW
    WHEN (OLD.outcome <> 'waiting'
          OR (NEW.request_id, NEW.number, NEW.user_id, NEW.amount, NEW.reason, NEW.note, NEW.reference, NEW.line_key)
              IS DISTINCT FROM (OLD.request_id, OLD.number, OLD.user_id, OLD.amount, OLD.reason, OLD.note,
                                OLD.reference, OLD.line_key))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER adjustment_line_stays BEFORE DELETE OR TRUNCATE ON ledger_adjustmentline
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER adjustment_request_is_decided_once BEFORE UPDATE ON ledger_adjustmentrequest
    FOR EACH ROW
    WHEN (OLD.state <> 'pending'
          OR (NEW.user_id, NEW.amount, NEW.total, NEW.reason, NEW.note, NEW.reference, NEW.reverses_id,
              NEW.balance_before, NEW.file_name, NEW.file_sha256, NEW.line_count, NEW.author_id, NEW.idempotency_key,
              NEW.fingerprint, NEW.second_person_because, NEW.created_at)
              IS DISTINCT FROM (OLD.user_id, OLD.amount, OLD.total, OLD.reason, OLD.note, OLD.reference,
                                OLD.reverses_id, OLD.balance_before, OLD.file_name, OLD.file_sha256, OLD.line_count,
                                OLD.author_id, OLD.idempotency_key, OLD.fingerprint, OLD.second_person_because,
                                OLD.created_at))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER adjustment_request_stays BEFORE DELETE OR TRUNCATE ON ledger_adjustmentrequest
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER anchor_is_append_only BEFORE UPDATE OR TRUNCATE ON ledger_anchor
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER anchor_stays AFTER DELETE ON ledger_anchor REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_to_forget_anchors();

CREATE TRIGGER anchor_place_is_append_only BEFORE UPDATE OR TRUNCATE ON ledger_anchorplace
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER anchor_place_stays AFTER DELETE ON ledger_anchorplace REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_to_forget_anchors();

-- Auto-reload that is off goes on by its customer's consent alone, given after the one before.
CREATE TRIGGER reload_goes_on_by_consent BEFORE UPDATE ON ledger_autoreload
    FOR EACH ROW
    WHEN ((NEW.enabled AND NOT OLD.enabled AND NEW.consented_at <= OLD.consented_at) OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER reload_stays BEFORE DELETE OR TRUNCATE ON ledger_autoreload
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER reload_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_autoreloadevent
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER balance_changes_only_with_seq BEFORE UPDATE ON ledger_balance
    FOR EACH ROW WHEN (NEW.seq <= OLD.seq OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_move_without_seq();

CREATE TRIGGER balance_stays BEFORE DELETE OR TRUNCATE ON ledger_balance
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER dispute_message_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_disputemessage
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- A dispute that was resolved, rejected or withdrawn stays so; what it is about never changes.
CREATE TRIGGER closed_dispute_stays_closed BEFORE UPDATE ON ledger_entrydispute
    FOR EACH ROW
    WHEN (OLD.state IN ('resolved', 'rejected', 'withdrawn')
          OR (NEW.user_id, NEW.entry_id, NEW.reason, NEW.created_at)
              IS DISTINCT FROM (OLD.user_id, OLD.entry_id, OLD.reason, OLD.created_at))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER dispute_stays BEFORE DELETE OR TRUNCATE ON ledger_entrydispute
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_keeps_its_terms BEFORE UPDATE ON ledger_grant
    FOR EACH ROW
    WHEN ((OLD.entry_id, OLD.user_id, OLD.seq, OLD.amount, OLD.category, OLD.priority, OLD.effective_at)
          IS DISTINCT FROM
          (NEW.entry_id, NEW.user_id, NEW.seq, NEW.amount, NEW.category, NEW.priority, NEW.effective_at)
          OR NEW.expired < OLD.expired)
    EXECUTE FUNCTION ledger_refuse_change();

-- A grant ends at another time only by a change that is written down, and never again once it has ended.
CREATE TRIGGER grant_ends_as_recorded BEFORE UPDATE ON ledger_grant
    FOR EACH ROW WHEN (OLD.expires_at IS DISTINCT FROM NEW.expires_at)
    EXECUTE FUNCTION ledger_refuse_unrecorded_end();

CREATE TRIGGER grant_stays BEFORE DELETE OR TRUNCATE ON ledger_grant
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_draw_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_grantdraw
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_terms_change_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_granttermschange
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_progress_goes_on BEFORE UPDATE ON ledger_grantprogress
    FOR EACH ROW WHEN (NEW.seq < OLD.seq OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER grant_progress_stays BEFORE DELETE OR TRUNCATE ON ledger_grantprogress
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER hold_stays BEFORE DELETE OR TRUNCATE ON ledger_hold
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER settled_hold_stays_settled BEFORE UPDATE ON ledger_hold
    FOR EACH ROW
    WHEN (OLD.status <> 'open'
          OR NEW.user_id <> OLD.user_id
          OR NEW.credits <> OLD.credits
          OR NEW.captured < OLD.captured
          OR NEW.expires_at < OLD.expires_at)
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER operation_key_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_operationkey
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_keeps_its_kind BEFORE UPDATE ON ledger_payment
    FOR EACH ROW WHEN (NEW.kind <> OLD.kind) EXECUTE FUNCTION ledger_refuse_change();

-- What a payment was made for never changes, and what was paid stays paid.
CREATE TRIGGER payment_stays BEFORE DELETE OR TRUNCATE ON ledger_payment
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_stays_what_it_is BEFORE UPDATE ON ledger_payment
    FOR EACH ROW
    WHEN ((NEW.user_id, NEW.credits, NEW.amount_minor, NEW.currency, NEW.provider, NEW.provider_key,
           NEW.idempotency_key)
              IS DISTINCT FROM (OLD.user_id, OLD.credits, OLD.amount_minor, OLD.currency, OLD.provider,
                                OLD.provider_key, OLD.idempotency_key)
          OR NEW.refunded_said_minor < OLD.refunded_said_minor
          OR (OLD.entry_id IS NOT NULL AND (NEW.entry_id, NEW.state) IS DISTINCT FROM (OLD.entry_id, OLD.state)))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_dispute_stays BEFORE DELETE OR TRUNCATE ON ledger_paymentdispute
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_outcome_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_paymentoutcome
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_refund_stays BEFORE DELETE OR TRUNCATE ON ledger_paymentrefund
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_refund_stays_what_it_is BEFORE UPDATE ON ledger_paymentrefund
    FOR EACH ROW
    WHEN ((NEW.payment_id, NEW.provider_refund_id, NEW.amount_minor)
              IS DISTINCT FROM (OLD.payment_id, OLD.provider_refund_id, OLD.amount_minor)
          OR (OLD.has_failed AND NOT NEW.has_failed))
    EXECUTE FUNCTION ledger_refuse_change();

-- A refund that staff asked for stays what it is, and what came of it is written once.
CREATE TRIGGER staff_refund_stays BEFORE DELETE OR TRUNCATE ON ledger_staffrefund
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER staff_refund_stays_what_it_is BEFORE UPDATE ON ledger_staffrefund
    FOR EACH ROW
    WHEN (OLD.state <> 'asked'
          OR (NEW.user_id, NEW.payment_id, NEW.amount_minor, NEW.provider_key, NEW.note, NEW.actor_id,
              NEW.idempotency_key, NEW.fingerprint, NEW.created_at)
             IS DISTINCT FROM (OLD.user_id, OLD.payment_id, OLD.amount_minor, OLD.provider_key, OLD.note, OLD.actor_id,
                               OLD.idempotency_key, OLD.fingerprint, OLD.created_at))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER subscription_change_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_subscriptionchange
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER subscription_period_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_subscriptionperiod
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER terms_change_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_termschange
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- A balance moves only together with an entry: seq steps up by one, or nothing that seq vouches for changes. The
-- condition is short because each statement parses it again; charges step, and never call the function.
CREATE FUNCTION ledger_refuse_move_without_seq() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.user_id, NEW.seq, NEW.balance, NEW.granted_total, NEW.seal)
        IS DISTINCT FROM (OLD.user_id, OLD.seq, OLD.balance, OLD.granted_total, OLD.seal) THEN
        RAISE EXCEPTION 'UPDATE on ledger_balance is refused: what it records is never altered without an entry'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

-- Only what thirty newer anchors have followed may go.
CREATE FUNCTION ledger_refuse_to_forget_anchors() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_newest bigint;
BEGIN
    IF TG_TABLE_NAME = 'ledger_anchor' THEN
        SELECT max(id) INTO v_newest FROM gone;
    ELSE
        SELECT max(anchor_id) INTO v_newest FROM gone;
    END IF;
    IF v_newest >= coalesce(ledger_oldest_anchor(), 0) THEN
        RAISE EXCEPTION 'DELETE on % is refused: what it records is never altered or removed', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

-- Django's own log of what staff do, with columns of ours (config/models.py:StaffRecord).
CREATE TRIGGER staff_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON django_admin_log
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

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
