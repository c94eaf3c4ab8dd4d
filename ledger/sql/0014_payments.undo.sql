DROP TRIGGER payment_dispute_stays ON ledger_paymentdispute;
DROP TRIGGER payment_outcome_is_append_only ON ledger_paymentoutcome;
DROP TRIGGER payment_stays_what_it_is ON ledger_payment;
DROP TRIGGER payment_stays ON ledger_payment;
DROP FUNCTION ledger_settle_reversals;
