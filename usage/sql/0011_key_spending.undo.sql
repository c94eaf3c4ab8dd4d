DROP TRIGGER a_new_key_has_spent_nothing ON accounts_apikey;
DROP FUNCTION usage_move_within_limit, usage_begin_key_spending, usage_count_key_spending, usage_key_left, usage_key_spent, usage_key_spent_in_log, usage_spending_began, usage_find_customer;
DROP TYPE usage_customer;
