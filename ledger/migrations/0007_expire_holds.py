from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_adjusting_is_a_permission")]
    operations = [sql_file(__file__, "0007_expire_holds")]
