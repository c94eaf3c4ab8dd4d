from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_adjustments"), ("config", "0003_staff_log_is_found_by_index")]
    operations = [sql_file(__file__, "0005_staff_log_guard")]
