DROP TRIGGER payment_keeps_its_kind ON ledger_payment;
DROP TRIGGER reload_event_is_append_only ON ledger_autoreloadevent;
DROP TRIGGER reload_stays ON ledger_autoreload;
DROP TRIGGER reload_goes_on_by_consent ON ledger_autoreload;
DROP FUNCTION ledger_look_at_threshold;
