-- Prices: which price a request pays, and what it costs.
--
-- Promises that a request is priced by the version in force when it was made.
-- Called by the metering functions, usage/key_verdicts.py:_FACTS and usage/services/metered_requests.py:_price_of.
-- Reads only; locks nothing.

-- The most specific price in force at `p_at`, or, when the request is older than all that match it, the
-- oldest version of the most specific one. A code beats a template, a template a glob, a glob `*`; of two of
-- a kind the one with more literal characters wins, and one that names the method beats one that does not.
-- A query string and a fragment do not count. A path with a final slash is also looked for without it, since most
-- frameworks serve the same there: of two prices of a kind, the one that names the path as it is spelt comes first.
-- No row: nothing names a price.
CREATE FUNCTION usage_find_price(p_endpoint text, p_method text, p_at timestamptz) RETURNS usage_price
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_kinds CONSTANT text[] := ARRAY['code', 'template', 'glob', 'any'];
    v_path text := CASE
        WHEN strpos(p_endpoint, '?') > 0 OR strpos(p_endpoint, '#') > 0
        THEN substring(p_endpoint FROM '^[^?#]*')
        ELSE p_endpoint END;
    v_price usage_price;
    v_bare usage_price;
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
        array_position(v_kinds, kind::text),
        weight DESC, endpoint, method DESC,
        CASE WHEN effective_from <= p_at THEN effective_from END DESC,
        effective_from
    LIMIT 1;

    IF v_path LIKE '/%/' THEN
        v_bare := usage_find_price(rtrim(v_path, '/'), p_method, p_at);
        IF v_price.id IS NULL OR (v_price.effective_from > p_at, array_position(v_kinds, v_price.kind::text))
            > (v_bare.effective_from > p_at, array_position(v_kinds, v_bare.kind::text)) THEN
            RETURN v_bare;
        END IF;
    END IF;
    RETURN v_price;
END $$;

-- Whether a request was refused before any work; usage/models/outcomes.py says the same. The planner writes it out.
CREATE FUNCTION usage_is_rejected(p_status integer) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_status IN (401, 402, 429)
$$;

-- What a request costs, in credits. Rejected before any work: nothing. Failed otherwise: nothing, unless its
-- price says so or the amount was given. What its price makes it cost is never less than the price's minimum, and
-- so never rounded away where there is one.
CREATE FUNCTION usage_cost(p_price usage_price, p_given numeric, p_units numeric, p_status integer)
RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN usage_is_rejected(p_status) THEN 0
        WHEN p_given IS NOT NULL THEN p_given
        WHEN p_status >= 400 AND NOT p_price.charge_failures THEN 0
        ELSE greatest(p_price.minimum, round(p_price.credits * p_units, 6))
    END
$$;
