DROP FUNCTION usage_record_lines(bigint, text, boolean, jsonb);
