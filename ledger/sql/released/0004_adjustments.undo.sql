-- Leads back from 0004_adjustments.sql to what was before it.

DROP TRIGGER adjustment_request_stays ON ledger_adjustmentrequest;

DROP TRIGGER adjustment_request_is_decided_once ON ledger_adjustmentrequest;

DROP TRIGGER adjustment_line_stays ON ledger_adjustmentline;

DROP TRIGGER adjustment_line_is_settled_once ON ledger_adjustmentline;

DROP TRIGGER adjustment_day_stays ON ledger_adjustmentday;

DROP TRIGGER adjustment_day_only_rises ON ledger_adjustmentday;

DROP FUNCTION ledger_settle_adjustment_line;

DROP FUNCTION ledger_request_adjustment_file;

DROP FUNCTION ledger_decide_adjustment;

DROP FUNCTION ledger_is_adjusted_by;

DROP FUNCTION ledger_request_adjustment;

DROP FUNCTION ledger_adjustment_outcome_of;

DROP FUNCTION ledger_post_adjustment;

DROP FUNCTION ledger_left_to_reverse;

DROP FUNCTION ledger_why_not_reversible;

DROP FUNCTION ledger_count_adjustment;

DROP FUNCTION ledger_second_person_because;

DROP FUNCTION ledger_adjustment_limits;

DROP TYPE ledger_adjustment_outcome;
