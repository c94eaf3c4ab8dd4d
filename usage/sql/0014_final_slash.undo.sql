DROP FUNCTION usage_find_price(text, text, timestamptz);
