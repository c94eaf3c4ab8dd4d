DROP FUNCTION ledger_burn_down, ledger_grants_concerned, ledger_grant_moves, ledger_places_to, ledger_place_of_draw,
    ledger_draws_at, ledger_balance_at, ledger_moves_at_once;
DROP TYPE ledger_grants_standing, ledger_grant_draw, ledger_grant_state, ledger_grant_move;
