DROP TRIGGER anchor_stays ON ledger_anchor;
DROP TRIGGER anchor_place_stays ON ledger_anchorplace;
DROP TRIGGER anchor_is_append_only ON ledger_anchor;
DROP TRIGGER anchor_place_is_append_only ON ledger_anchorplace;
DROP FUNCTION ledger_refuse_to_forget_anchors, ledger_sign_anchor, ledger_begin_anchor, ledger_oldest_anchor;
