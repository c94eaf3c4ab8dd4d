DROP FUNCTION usage_note_free_charge;
