from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # while it is built, keys are read and written

    dependencies = [("accounts", "0015_sending_again_is_bounded")]

    operations = [
        AddIndexConcurrently(
            "apikey", models.Index(fields=["user", "-created_at", "-id"], name="keys_of_user_newest_first")
        ),
        AddIndexConcurrently(
            "apikey",
            models.Index(fields=["user"], name="keys_not_revoked", condition=models.Q(revoked_at__isnull=True)),
        ),
    ]
