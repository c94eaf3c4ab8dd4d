from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_doors")]
    operations = [sql_file(__file__, "0005_correct_drift")]
