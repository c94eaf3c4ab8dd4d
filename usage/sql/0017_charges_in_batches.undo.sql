DROP FUNCTION usage_charge_batch;
