from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("usage", "0013_alerts")]
    operations = [sql_file(__file__, "0014_final_slash", restores=("0003_prices:usage_find_price",))]
