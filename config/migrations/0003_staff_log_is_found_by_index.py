import django.utils.timezone
from django.db import migrations, models

_INDEXES = {
    "staff_log_by_staff": "(user_id, id)",
    "staff_log_by_customer": "(customer_id, id) WHERE customer_id IS NOT NULL",
    "staff_log_by_object": "(content_type_id, object_id, id)",
    "staff_log_by_kind": "(kind, id)",
    "staff_log_by_time": "(action_time, id)",
}


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("config", "0002_staff_log")]
    operations = [
        *(
            migrations.RunSQL(
                sql=f"CREATE INDEX CONCURRENTLY {name} ON django_admin_log {columns}",
                reverse_sql=f"DROP INDEX CONCURRENTLY {name}",
            )
            for name, columns in _INDEXES.items()
        ),
        migrations.CreateModel(
            name="StaffRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "action_time",
                    models.DateTimeField(default=django.utils.timezone.now, help_text="When.", verbose_name="time"),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("add", "Added by a form"),
                            ("change", "Changed by a form"),
                            ("delete", "Deleted"),
                            ("action", "Named action"),
                            ("export", "Exported"),
                            ("search", "Searched by key"),
                            ("view", "Looked at"),
                        ],
                        help_text="What sort of thing was done.",
                        max_length=10,
                    ),
                ),
                (
                    "object_id",
                    models.TextField(help_text="The id of the object; empty: a list, or no object.", null=True),
                ),
                ("object_repr", models.CharField(help_text="What the object was called then.", max_length=200)),
                (
                    "action_flag",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "Addition"), (2, "Change"), (3, "Deletion")], help_text="Django's own word for it."
                    ),
                ),
                (
                    "change_message",
                    models.TextField(help_text="What was done, as a sentence, or as Django's list of fields."),
                ),
                (
                    "details",
                    models.JSONField(
                        default=list,
                        help_text="The values before and after: objects with name, before, after, as texts.",
                    ),
                ),
                (
                    "roles",
                    models.CharField(help_text="The roles of the member of staff at that time.", max_length=200),
                ),
                (
                    "address",
                    models.GenericIPAddressField(help_text="From which address; empty: unknown.", null=True),
                ),
                (
                    "request_id",
                    models.CharField(help_text="The id of the request, as in logs; empty: none.", max_length=128),
                ),
            ],
            options={
                "verbose_name": "staff log record",
                "verbose_name_plural": "staff log records",
                "db_table": "django_admin_log",
                "permissions": [("export_staffrecord", "Can export the staff log")],
                "managed": False,
                "default_permissions": ("view",),
            },
        ),
    ]
