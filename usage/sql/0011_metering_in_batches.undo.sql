DROP FUNCTION usage_record_events, usage_record_lines, usage_charge_batch, usage_settle_reported;
DROP TYPE usage_settled, usage_batch_row;
ALTER TYPE usage_reported DROP ATTRIBUTE source;
DROP TRIGGER event_key_stays ON usage_eventkey;
-- Who reports an event once more, after the release has come again, must not pay once more.
CREATE TABLE usage_eventkey_kept AS TABLE usage_eventkey;
