DROP FUNCTION usage_charge, usage_note_free_charge;
DROP TYPE usage_charge_outcome;
