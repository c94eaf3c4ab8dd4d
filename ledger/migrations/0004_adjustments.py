from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0003_adjustment_requests")]
    operations = [sql_file(__file__, "0004_adjustments")]
