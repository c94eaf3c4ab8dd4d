from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # while it is built, rows are read and written

    dependencies = [("accounts", "0016_keys_are_listed_and_counted_however_many_were_revoked")]

    operations = [
        AddIndexConcurrently("notice", models.Index(fields=["user", "id"], name="notices_of_user")),
        AddIndexConcurrently(
            "webhookdelivery",
            models.Index(fields=["created_at"], name="deliveries_given_up", condition=models.Q(state="failed")),
        ),
    ]
