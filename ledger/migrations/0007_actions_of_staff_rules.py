from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_actions_of_staff")]
    operations = [sql_file(__file__, "0007_actions_of_staff_rules")]
