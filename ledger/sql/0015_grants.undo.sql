DROP FUNCTION ledger_note_reckoning, ledger_lapsed, ledger_reckon, ledger_shares;
DROP TYPE ledger_reckoning, ledger_lapse, ledger_lot_draw, ledger_lot;
DROP TRIGGER grant_progress_goes_on ON ledger_grantprogress;
DROP TRIGGER grant_progress_stays ON ledger_grantprogress;
DROP TRIGGER grant_draw_is_append_only ON ledger_grantdraw;
DROP TRIGGER grant_keeps_its_terms ON ledger_grant;
DROP TRIGGER grant_stays ON ledger_grant;
