import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_rotated_keys_know_the_original"),
        ("ledger", "0012_debits_in_batches"),
        ("usage", "0010_prices_may_have_a_minimum"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # Backwards it stays as wide as it is: what is logged is never cut.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE usage_requestlog ALTER COLUMN source TYPE varchar(255)", migrations.RunSQL.noop
                )
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="requestlog",
                    name="source",
                    field=models.CharField(
                        blank=True,
                        help_text="The log or event source that it came from; empty: charged live.",
                        max_length=255,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="EventKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user", "event_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("event_key", models.BinaryField(help_text="SHA-256 of the event's source and id.")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When it was reported."
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
        migrations.CreateModel(
            name="KeySpending",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user", "api_key", "began_on", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("began_on", models.DateField(help_text="The UTC day on which the count began.")),
                (
                    "counted_on",
                    models.DateField(help_text="The latest UTC day of which something may have been counted."),
                ),
                (
                    "credits",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits debited since, less refunds.", max_digits=24
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The customer's key; of rotated ones the first.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.apikey",
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
            options={
                "verbose_name_plural": "key spending",
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        db_constraint=False,
                        help_text="The credit that gave it back.",
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="ledger.entry",
                    ),
                ),
                (
                    "endpoint",
                    models.CharField(help_text="The endpoint that the request is counted under.", max_length=200),
                ),
                ("credits", models.DecimalField(decimal_places=6, help_text="Credits given back.", max_digits=15)),
                ("occurred_at", models.DateTimeField(help_text="When the request was made.")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When it was given back."
                    ),
                ),
                (
                    "charge",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The debit that is taken back; the request has the same id.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
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
            options={
                "indexes": [models.Index(fields=["user", "occurred_at"], name="refunds_of_user_by_time")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("credits__gt", 0)), name="refund_gives_something_back")
                ],
            },
        ),
        sql_file(__file__, "0011_key_spending"),
        sql_file(__file__, "0011_metering", restores=("0004_charge", "0005_record")),
        sql_file(__file__, "0011_metering_in_batches"),
    ]
