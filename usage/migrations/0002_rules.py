from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0001_initial"),
        ("ledger", "0002_rules"),
    ]
    operations = [sql_file(__file__, "0002_rules")]
