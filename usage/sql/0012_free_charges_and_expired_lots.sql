-- What a charge that costs nothing answers does not count lots that have expired either.

-- Keep the key of a charge that costs nothing, and tell what the customer has. Nothing is locked or settled for
-- nothing: holds and lots that have run out are only left out of the sums.
CREATE OR REPLACE FUNCTION usage_note_free_charge(
    p_user_id bigint, p_charge_id bigint, p_idempotency_key text, p_fingerprint bytea, p_request_id uuid
) RETURNS ledger_outcome LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_balance numeric := 0;
    v_reserved numeric := 0;
BEGIN
    SELECT b.balance - CASE WHEN b.next_expiry_at > v_now THEN 0 ELSE coalesce((
            ledger_lapsed(b.user_id, v_now)).credits, 0) END,
        b.reserved - CASE WHEN b.next_expiry_at > v_now THEN 0 ELSE coalesce((
            SELECT sum(h.credits - h.captured) FROM ledger_hold h
            WHERE h.user_id = b.user_id AND h.status = 'open' AND h.expires_at <= v_now), 0) END
    INTO v_balance, v_reserved
    FROM ledger_balance b WHERE b.user_id = p_user_id;
    v_balance := coalesce(v_balance, 0);
    v_reserved := coalesce(v_reserved, 0);
    INSERT INTO ledger_operationkey (user_id, operation, idempotency_key, fingerprint, subject_id, result)
    VALUES (p_user_id, 'charge', p_idempotency_key, p_fingerprint, p_charge_id,
            jsonb_build_object('request_id', p_request_id, 'balance_after', v_balance::text));
    RETURN ROW('posted', NULL, NULL, v_balance, v_reserved, v_balance - v_reserved, NULL, NULL, v_now)::ledger_outcome;
END $$;
