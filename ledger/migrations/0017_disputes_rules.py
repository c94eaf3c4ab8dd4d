from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0016_disputes")]
    operations = [sql_file(__file__, "0017_disputes_rules")]
