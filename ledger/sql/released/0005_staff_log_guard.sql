-- What migration 0005_staff_log_guard of ledger runs: written by freeze_sql from sql/current/, never edited.

-- Django's own log of what staff do, with columns of ours (config/models.py:StaffRecord).
CREATE TRIGGER staff_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON django_admin_log
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
