from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0012_batches_are_reversed")]
    operations = [sql_file(__file__, "0013_figures")]
