DROP FUNCTION usage_rebuild_days, usage_record_lines;
DROP TYPE usage_reported;
