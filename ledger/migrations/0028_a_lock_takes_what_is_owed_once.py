from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0027_reads_know_what_is_owed")]
    operations = [
        sql_file(
            __file__,
            "0028_a_lock_takes_what_is_owed_once",
            restores=("0023_what_is_owed_is_taken:ledger_lock_balance",),
        )
    ]
