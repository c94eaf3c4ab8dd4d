from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("usage", "0011_metering"), ("ledger", "0015_grants")]
    operations = [
        sql_file(__file__, "0012_free_charges_and_expired_lots", restores=("0004_charge:usage_note_free_charge",))
    ]
