DROP FUNCTION usage_open_hold, usage_has_been_done, usage_number_repeat, usage_capture_hold, usage_refund;
DROP TYPE usage_hold_outcome;
