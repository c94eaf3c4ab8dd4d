from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # while it is built, rows are read and written

    dependencies = [("ledger", "0028_a_lock_takes_what_is_owed_once")]

    operations = [
        AddIndexConcurrently(
            "payment", models.Index(fields=["created_at"], name="payments_failed", condition=models.Q(state="failed"))
        ),
    ]
