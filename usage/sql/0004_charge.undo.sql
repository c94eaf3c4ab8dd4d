DROP FUNCTION usage_charge, usage_count;
DROP TYPE usage_charge_outcome;
