from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("usage", "0007_dropped_months")]
    operations = [sql_file(__file__, "0008_retention")]
