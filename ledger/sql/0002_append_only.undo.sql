DROP FUNCTION ledger_refuse_change(), ledger_refuse_move_without_seq() CASCADE;
