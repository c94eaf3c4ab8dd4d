-- Leads back from 0007_actions_of_staff_rules.sql to what was before it.

DROP TRIGGER staff_refund_stays_what_it_is ON ledger_staffrefund;

DROP TRIGGER staff_refund_stays ON ledger_staffrefund;
