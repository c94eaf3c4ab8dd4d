from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("usage", "0004_charge")]
    operations = [sql_file(__file__, "0005_record")]
