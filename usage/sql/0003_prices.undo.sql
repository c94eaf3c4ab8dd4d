DROP FUNCTION usage_cost, usage_find_price;
