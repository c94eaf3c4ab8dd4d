import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0015_grants"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="balance",
            name="watch_below",
            field=models.DecimalField(
                decimal_places=6,
                help_text="The highest threshold that is armed: falling below it is noted; empty: none.",
                max_digits=15,
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Threshold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="What it is for; each customer has one of a name.", max_length=50)),
                (
                    "below",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits below which available is low.", max_digits=15
                    ),
                ),
                (
                    "crossed_at",
                    models.DateTimeField(help_text="When available fell below it; empty: armed.", null=True),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="thresholds",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("crossed_at__isnull", False)),
                        fields=["name", "crossed_at"],
                        name="thresholds_crossed",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "name"), name="threshold_has_one_name"),
                    models.CheckConstraint(condition=models.Q(("below__gt", 0)), name="threshold_is_above_zero"),
                ],
            },
        ),
        sql_file(__file__, "0016_thresholds"),
    ]
