-- Leads back from 0002_rules.sql to what was before it.

DROP TRIGGER dropped_month_stays ON usage_droppedmonth;

DROP TRIGGER request_log_is_append_only ON usage_requestlog;

DROP TRIGGER refund_stays ON usage_refund;

DROP TRIGGER a_limit_is_counted_when_it_is_set ON accounts_apikey;

DROP TRIGGER a_limited_key_goes_on_counting ON accounts_apikey;

DROP TRIGGER a_new_key_has_spent_nothing ON accounts_apikey;

DROP TRIGGER event_key_stays ON usage_eventkey;

DROP FUNCTION usage_rebuild_sums;

DROP FUNCTION usage_rebuild_days;

DROP FUNCTION usage_drop_month;

DROP FUNCTION usage_log_request;

DROP FUNCTION usage_ensure_partition;

DROP FUNCTION usage_record_lines;

DROP FUNCTION usage_settle_reported;

DROP FUNCTION usage_return_call;

DROP FUNCTION usage_take_call;

DROP FUNCTION usage_cost;

DROP FUNCTION usage_is_rejected;

DROP FUNCTION usage_find_price;

DROP FUNCTION usage_begin_key_spending;

DROP FUNCTION usage_count_key;

DROP FUNCTION usage_count_key_from_log;

DROP FUNCTION usage_note_key_spending;

DROP FUNCTION usage_count_key_spending;

DROP FUNCTION usage_move_within_limit;

DROP FUNCTION usage_key_left;

DROP FUNCTION usage_key_standing;

DROP FUNCTION usage_key_held;

DROP FUNCTION usage_key_spent;

DROP FUNCTION usage_key_spent_in_log;

DROP FUNCTION usage_refund;

DROP FUNCTION usage_spending_ends;

DROP FUNCTION usage_spending_began;

DROP FUNCTION usage_number_repeat;

DROP FUNCTION usage_capture_hold;

DROP FUNCTION usage_open_hold;

DROP FUNCTION usage_record_events;

DROP FUNCTION usage_has_been_done;

DROP FUNCTION usage_find_customer;

DROP FUNCTION usage_charge;

DROP FUNCTION usage_note_free_charge;

DROP FUNCTION usage_entry_metadata;

DROP FUNCTION usage_metadata_beside;

DROP FUNCTION usage_charge_batch;

DROP FUNCTION usage_log_batch;

DROP FUNCTION usage_debit_batch;

DROP FUNCTION usage_read_batch;

DROP FUNCTION usage_charge_each;

DROP TYPE usage_settled;

DROP TYPE usage_reported;

DROP TYPE usage_hold_outcome;

DROP TYPE usage_customer;

DROP TYPE usage_charge_outcome;

DROP TYPE usage_batch_row;
