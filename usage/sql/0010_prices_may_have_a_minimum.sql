-- Prices with a minimum.

-- What a request costs, in credits. Rejected before any work: nothing. Failed otherwise: nothing, unless its
-- price says so or the amount was given. What its price makes it cost is never less than the price's minimum, and
-- so never rounded away where there is one.
CREATE OR REPLACE FUNCTION usage_cost(p_price usage_price, p_given numeric, p_units numeric, p_status integer)
RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN p_status IN (401, 402, 429) THEN 0
        WHEN p_given IS NOT NULL THEN p_given
        WHEN p_status >= 400 AND NOT p_price.charge_failures THEN 0
        ELSE greatest(p_price.minimum, round(p_price.credits * p_units, 6))
    END
$$;
