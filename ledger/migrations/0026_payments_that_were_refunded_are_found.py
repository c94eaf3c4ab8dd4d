from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # while it is built, payments are read and written

    dependencies = [("ledger", "0025_anchors")]

    operations = [
        AddIndexConcurrently(
            "payment",
            models.Index(
                fields=["id"],
                name="payments_refunded",
                condition=models.Q(("refunded_minor__gt", 0), ("refunded_said_minor__gt", 0), _connector="OR"),
            ),
        ),
    ]
