import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0024_refunds_may_fail"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Anchor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("taken_at", models.DateTimeField(help_text="When.")),
                ("customers", models.BigIntegerField(help_text="How many customers it names: all who had entries.")),
                (
                    "digest",
                    models.BinaryField(help_text="SHA-256 over all of its places, in the order of the customers' ids."),
                ),
                (
                    "key_id",
                    models.CharField(
                        help_text="Which of ANCHOR_KEYS signed it: the start of its SHA-256.", max_length=16
                    ),
                ),
                (
                    "signature",
                    models.BinaryField(help_text="HMAC-SHA-256 of id, time, customers and digest by that key."),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AnchorPlace",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "anchor_id", "user_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("seq", models.BigIntegerField(help_text="Place of the customer's last entry.")),
                ("seal", models.BinaryField(help_text="Seal of that entry.")),
                (
                    "anchor",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The anchor.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="places",
                        to="ledger.anchor",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        sql_file(__file__, "0025_anchors"),
    ]
