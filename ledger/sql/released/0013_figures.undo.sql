-- Leads back from 0013_figures.sql to what was before it.

DROP FUNCTION ledger_credits_by_category;

DROP TYPE ledger_credits_held;
