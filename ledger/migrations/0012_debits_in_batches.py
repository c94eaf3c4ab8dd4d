from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0011_capture_extend_refund")]
    operations = [sql_file(__file__, "0012_debits_in_batches")]
