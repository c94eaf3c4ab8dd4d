-- Which price a request pays.

-- The most specific price in force at `p_at`, or, when the request is older than all that match it, the
-- oldest version of the most specific one. A code beats a template, a template a glob, a glob `*`; of two of
-- a kind the one with more literal characters wins, and one that names the method beats one that does not.
-- A query string and a fragment do not count. No row: nothing names a price.
CREATE FUNCTION usage_find_price(p_endpoint text, p_method text, p_at timestamptz) RETURNS usage_price
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_path text := CASE
        WHEN strpos(p_endpoint, '?') > 0 OR strpos(p_endpoint, '#') > 0
        THEN substring(p_endpoint FROM '^[^?#]*')
        ELSE p_endpoint END;
    v_price usage_price;
BEGIN
    -- Most endpoints are codes: one look-up in the unique index, without reading the price book.
    SELECT * INTO v_price FROM usage_price
    WHERE endpoint = v_path AND method IN ('', p_method) AND kind = 'code' AND effective_from <= p_at
    ORDER BY method DESC, effective_from DESC LIMIT 1;
    IF FOUND THEN
        RETURN v_price;
    END IF;

    SELECT * INTO v_price FROM usage_price
    WHERE method IN ('', p_method)
        AND CASE kind
            WHEN 'code' THEN endpoint = v_path
            WHEN 'template' THEN v_path LIKE pattern AND length(v_path) - length(replace(v_path, '/', '')) = slashes
            WHEN 'glob' THEN v_path LIKE pattern
            ELSE true END
    ORDER BY
        effective_from <= p_at DESC,
        array_position(ARRAY['code', 'template', 'glob', 'any'], kind::text),
        weight DESC, endpoint, method DESC,
        CASE WHEN effective_from <= p_at THEN effective_from END DESC,
        effective_from
    LIMIT 1;
    RETURN v_price;
END $$;

-- What a request costs, in credits. Rejected before any work: nothing. Failed otherwise: nothing, unless its
-- price says so or the amount was given.
CREATE FUNCTION usage_cost(p_price usage_price, p_given numeric, p_units numeric, p_status integer) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN p_status IN (401, 402, 429) THEN 0
        WHEN p_given IS NOT NULL THEN p_given
        WHEN p_status >= 400 AND NOT p_price.charge_failures THEN 0
        ELSE round(p_price.credits * p_units, 6)
    END
$$;
