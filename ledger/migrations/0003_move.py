from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_append_only")]
    operations = [sql_file(__file__, "0003_move")]
