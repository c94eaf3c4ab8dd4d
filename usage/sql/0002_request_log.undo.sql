DROP FUNCTION usage_ensure_partition;
DROP TABLE usage_requestlog;
