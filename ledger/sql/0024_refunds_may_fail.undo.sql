CREATE OR REPLACE TRIGGER payment_stays_what_it_is BEFORE UPDATE ON ledger_payment
    FOR EACH ROW
    WHEN ((NEW.user_id, NEW.credits, NEW.amount_minor, NEW.currency, NEW.provider, NEW.provider_key,
           NEW.idempotency_key)
              IS DISTINCT FROM (OLD.user_id, OLD.credits, OLD.amount_minor, OLD.currency, OLD.provider,
                                OLD.provider_key, OLD.idempotency_key)
          OR NEW.refunded_minor < OLD.refunded_minor
          OR (OLD.entry_id IS NOT NULL AND (NEW.entry_id, NEW.state) IS DISTINCT FROM (OLD.entry_id, OLD.state)))
    EXECUTE FUNCTION ledger_refuse_change();
DROP TRIGGER payment_refund_stays ON ledger_paymentrefund;
DROP TRIGGER payment_refund_stays_what_it_is ON ledger_paymentrefund;
