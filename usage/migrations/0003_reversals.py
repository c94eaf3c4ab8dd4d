from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0002_rules"),
        ("ledger", "0004_adjustments"),
    ]
    operations = [sql_file(__file__, "0003_reversals")]
