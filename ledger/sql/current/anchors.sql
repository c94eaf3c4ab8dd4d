-- Anchors: what the ends of all ledgers were, so that a ledger that is cut off or sealed anew later does not match.
--
-- Promises that the newest thirty stay as they were taken. The signature is made outside with a key that this database
-- does not have: even its owner cannot make an anchor that holds.
-- Called by ledger/services/reconciliation/anchoring.py:take_anchor, both functions in one transaction. Locks nothing.

-- Note where every ledger ends now. Customers of `p_kept` keep the place that the anchor before named.
CREATE FUNCTION ledger_begin_anchor(p_kept bigint[], OUT anchor_id bigint, OUT taken_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_before bigint := (SELECT max(id) FROM ledger_anchor);
BEGIN
    anchor_id := nextval(pg_get_serial_sequence('ledger_anchor', 'id'));
    taken_at := clock_timestamp();
    INSERT INTO ledger_anchorplace (anchor_id, user_id, seq, seal)
    SELECT ledger_begin_anchor.anchor_id, b.user_id, last.seq, last.seal
    FROM ledger_balance b
    -- LIMIT: so that each ledger is asked for its end, and none is read as a whole.
    CROSS JOIN LATERAL (
        SELECT e.seq, e.seal FROM ledger_entry e WHERE e.user_id = b.user_id AND e.seq = b.seq LIMIT 1
    ) last
    WHERE b.user_id <> ALL (p_kept)
    UNION ALL
    SELECT ledger_begin_anchor.anchor_id, p.user_id, p.seq, p.seal
    FROM ledger_anchorplace p WHERE p.anchor_id = v_before AND p.user_id = ANY (p_kept);
END $$;

-- Complete an anchor that was begun, and forget all but the newest thirty.
CREATE FUNCTION ledger_sign_anchor(
    p_anchor_id bigint, p_taken_at timestamptz, p_customers bigint, p_digest bytea, p_key_id text, p_signature bytea
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_oldest bigint;
BEGIN
    INSERT INTO ledger_anchor (id, taken_at, customers, digest, key_id, signature)
    VALUES (p_anchor_id, p_taken_at, p_customers, p_digest, p_key_id, p_signature);
    v_oldest := ledger_oldest_anchor();
    IF EXISTS (SELECT FROM ledger_anchor WHERE id < v_oldest) THEN
        DELETE FROM ledger_anchorplace WHERE anchor_id < v_oldest;
        DELETE FROM ledger_anchor WHERE id < v_oldest;
    END IF;
END $$;

-- Name the thirtieth newest anchor; null while there are fewer.
CREATE FUNCTION ledger_oldest_anchor() RETURNS bigint LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT id FROM ledger_anchor ORDER BY id DESC OFFSET 29 LIMIT 1
$$;
