from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("usage", "0017_limits_of_keys")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE usage_requestlog VALIDATE CONSTRAINT request_is_plausible", migrations.RunSQL.noop
        )
    ]
