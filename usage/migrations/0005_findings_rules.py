from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0004_findings"),
        ("ledger", "0011_terms_of_grants_rules"),
    ]
    operations = [sql_file(__file__, "0005_findings_rules")]
