-- Refunds that fail after they were made: what was given back of a payment may fall again. What was said of it stays.

UPDATE ledger_payment SET refunded_said_minor = refunded_minor WHERE refunded_minor > 0;

CREATE OR REPLACE TRIGGER payment_stays_what_it_is BEFORE UPDATE ON ledger_payment
    FOR EACH ROW
    WHEN ((NEW.user_id, NEW.credits, NEW.amount_minor, NEW.currency, NEW.provider, NEW.provider_key,
           NEW.idempotency_key)
              IS DISTINCT FROM (OLD.user_id, OLD.credits, OLD.amount_minor, OLD.currency, OLD.provider,
                                OLD.provider_key, OLD.idempotency_key)
          OR NEW.refunded_said_minor < OLD.refunded_said_minor
          OR (OLD.entry_id IS NOT NULL AND (NEW.entry_id, NEW.state) IS DISTINCT FROM (OLD.entry_id, OLD.state)))
    EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_refund_stays BEFORE DELETE OR TRUNCATE ON ledger_paymentrefund
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE TRIGGER payment_refund_stays_what_it_is BEFORE UPDATE ON ledger_paymentrefund
    FOR EACH ROW
    WHEN ((NEW.payment_id, NEW.provider_refund_id, NEW.amount_minor)
              IS DISTINCT FROM (OLD.payment_id, OLD.provider_refund_id, OLD.amount_minor)
          OR (OLD.has_failed AND NOT NEW.has_failed))
    EXECUTE FUNCTION ledger_refuse_change();
