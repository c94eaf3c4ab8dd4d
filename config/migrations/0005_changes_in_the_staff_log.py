from django.db import migrations

# A log has far more looks than changes: those who ask for changes read no looks.
_CHANGES = "WHERE kind IN ('add', 'change', 'delete', 'action')"
_INDEXES = {
    "staff_log_changes": "(id)",
    "staff_log_changes_by_staff": "(user_id, id)",
    "staff_log_changes_by_customer": "(customer_id, id)",
    "staff_log_changes_by_object": "(content_type_id, object_id, id)",
}


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("config", "0004_spent_forms")]
    operations = [
        migrations.RunSQL(
            sql=f"CREATE INDEX CONCURRENTLY {name} ON django_admin_log {columns} {_CHANGES}",
            reverse_sql=f"DROP INDEX CONCURRENTLY {name}",
        )
        for name, columns in _INDEXES.items()
    ]
