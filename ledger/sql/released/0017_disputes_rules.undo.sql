-- Leads back from 0017_disputes_rules.sql to what was before it.

DROP TRIGGER dispute_stays ON ledger_entrydispute;

DROP TRIGGER closed_dispute_stays_closed ON ledger_entrydispute;

DROP TRIGGER dispute_message_is_append_only ON ledger_disputemessage;
