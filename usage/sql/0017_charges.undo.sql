DROP FUNCTION usage_charge, usage_find_customer, usage_log_request, usage_take_call, usage_return_call,
    usage_entry_metadata, usage_metadata_beside;
ALTER TYPE usage_charge_outcome DROP ATTRIBUTE limits;
ALTER TYPE usage_customer DROP ATTRIBUTE rate_limit_per_minute;
ALTER TYPE usage_batch_row DROP ATTRIBUTE limits;
