ALTER FUNCTION usage_rebuild_days SECURITY DEFINER;
DROP FUNCTION usage_rebuild_sums, usage_drop_month;
DROP TRIGGER dropped_month_stays ON usage_droppedmonth;
