from decimal import Decimal

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    """A partitioned table, whose primary key Django cannot declare: made in SQL, known to Django as it is."""

    dependencies = [
        ("accounts", "0002_sign_in_attempts_and_tokens"),
        ("ledger", "0004_doors"),
        ("usage", "0001_prices_and_sums"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(__file__, "0002_request_log")],
            state_operations=[
                migrations.CreateModel(
                    name="RequestLog",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                help_text="Names the request, and its charge, for ever.",
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        (
                            "endpoint",
                            models.CharField(
                                help_text="The price's endpoint, under which the request is counted.", max_length=200
                            ),
                        ),
                        ("path", models.TextField(help_text="The endpoint as it was reported.")),
                        (
                            "method",
                            models.CharField(blank=True, help_text="HTTP method, when reported.", max_length=10),
                        ),
                        (
                            "status",
                            models.SmallIntegerField(
                                help_text="HTTP status; 401, 402 and 429 mean rejected before any work."
                            ),
                        ),
                        (
                            "units",
                            models.DecimalField(
                                db_default=Decimal("1"),
                                decimal_places=6,
                                help_text="How much was asked for, in units of price.",
                                max_digits=15,
                            ),
                        ),
                        (
                            "credits",
                            models.DecimalField(
                                decimal_places=6, help_text="Credits charged; 0: free or unpaid.", max_digits=15
                            ),
                        ),
                        (
                            "unpaid",
                            models.BooleanField(
                                db_default=False, help_text="It had a price that the customer could not pay."
                            ),
                        ),
                        (
                            "latency_ms",
                            models.IntegerField(help_text="Duration in milliseconds, when reported.", null=True),
                        ),
                        (
                            "request_id",
                            models.UUIDField(
                                help_text="The id given back to the gateway; empty for imports.", null=True
                            ),
                        ),
                        (
                            "reference",
                            models.CharField(
                                help_text="The gateway's own name for the request.", max_length=255, null=True
                            ),
                        ),
                        (
                            "metadata",
                            models.JSONField(db_default={}, help_text="Whatever the gateway wants to keep with it."),
                        ),
                        (
                            "source",
                            models.CharField(
                                blank=True, help_text="Where it was imported from; empty: charged live.", max_length=100
                            ),
                        ),
                        ("occurred_at", models.DateTimeField(help_text="When the request was made.")),
                        (
                            "recorded_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now(), help_text="When it was reported."
                            ),
                        ),
                        (
                            "api_key",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                help_text="The customer's key that the request came with, when known.",
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.apikey",
                            ),
                        ),
                        (
                            "entry",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                help_text="The debit that paid for it; a batch has one for many.",
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="requests",
                                to="ledger.entry",
                            ),
                        ),
                        (
                            "price",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                help_text="The price version that applied; empty: none was needed.",
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="usage.price",
                            ),
                        ),
                        (
                            "user",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                help_text="The customer.",
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="requests",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "verbose_name": "request",
                    },
                ),
                migrations.AddIndex(
                    model_name="requestlog",
                    index=models.Index(fields=["user", "occurred_at", "id"], name="requests_of_user_by_time"),
                ),
            ],
        ),
    ]
