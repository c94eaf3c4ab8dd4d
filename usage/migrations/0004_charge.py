from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("usage", "0003_prices")]
    operations = [sql_file(__file__, "0004_charge")]
