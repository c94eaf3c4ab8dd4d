from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("ledger", "0010_terms_of_grants")]
    operations = [sql_file(__file__, "0011_terms_of_grants_rules")]
