-- Leads back from 0005_staff_log_guard.sql to what was before it.

DROP TRIGGER staff_log_is_append_only ON django_admin_log;
