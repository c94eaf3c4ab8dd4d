-- What migration 0007_actions_of_staff_rules of ledger runs: written by freeze_sql from sql/current/, never edited.

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
