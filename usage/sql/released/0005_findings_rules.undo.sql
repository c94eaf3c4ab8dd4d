-- Leads back from 0005_findings_rules.sql to what was before it.

DROP TRIGGER finding_event_is_append_only ON usage_findingevent;

DROP TRIGGER finding_stays ON usage_reconciliationfinding;

DROP TRIGGER finding_keeps_its_identity ON usage_reconciliationfinding;

DROP FUNCTION usage_close_finding;

DROP FUNCTION usage_note_finding;

DROP FUNCTION usage_lock_balance_of_finding;

DROP TYPE usage_finding_outcome;
