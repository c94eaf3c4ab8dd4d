from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0026_payments_that_were_refunded_are_found"),
    ]

    operations = [
        sql_file(__file__, "0027_reads_know_what_is_owed", restores=("0021_settling_grants:ledger_lapsed",)),
    ]
