from decimal import Decimal

import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("config", "0001_initial"),
        ("ledger", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="DailyUsage",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user", "day", "endpoint", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("day", models.DateField(help_text="The UTC day on which the requests occurred.")),
                ("endpoint", models.CharField(help_text="The price's endpoint.", max_length=200)),
                ("successful", models.BigIntegerField(help_text="Requests with a status below 400.")),
                (
                    "failed",
                    models.BigIntegerField(help_text="Requests with a status of 400 and above that were not rejected."),
                ),
                ("rejected", models.BigIntegerField(help_text="Requests refused before any work: 401, 402, 429.")),
                (
                    "credits",
                    models.DecimalField(decimal_places=6, help_text="Credits charged, less refunds.", max_digits=24),
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
                "verbose_name_plural": "daily usage",
                "indexes": [
                    django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=["day"], name="sums_by_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="ImportedLine",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "source", "line_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("source", models.CharField(help_text="The log's name, given by the operator.", max_length=100)),
                (
                    "line_key",
                    models.BinaryField(help_text="SHA-256 of the line's text and its ordinal among identical lines."),
                ),
                ("occurred_at", models.DateTimeField(help_text="When the request was made.")),
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
                (
                    "is_charged",
                    models.BooleanField(
                        help_text="Whether it was recorded by an import that charges; empty: by one that did not say.",
                        null=True,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "endpoint",
                    models.CharField(
                        help_text="A code, a route template (/v1/items/{id}), a suffix glob (*.png), or *.",
                        max_length=200,
                    ),
                ),
                (
                    "method",
                    models.CharField(
                        blank=True, default="", help_text="HTTP method in capitals; empty: every method.", max_length=10
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("code", "Endpoint code or exact path"),
                            ("template", "Route template"),
                            ("glob", "Suffix glob"),
                            ("any", "Everything else"),
                        ],
                        help_text="What form the endpoint has.",
                        max_length=8,
                    ),
                ),
                (
                    "pattern",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="LIKE pattern of a template or glob, made from the endpoint.",
                        max_length=600,
                    ),
                ),
                (
                    "slashes",
                    models.SmallIntegerField(
                        default=0, help_text="Number of slashes in a template: its paths have as many."
                    ),
                ),
                (
                    "weight",
                    models.SmallIntegerField(
                        default=0, help_text="Literal characters; of two matches the heavier one wins."
                    ),
                ),
                (
                    "credits",
                    models.DecimalField(decimal_places=6, help_text="Credits a unit; 0 is free.", max_digits=15),
                ),
                (
                    "charge_failures",
                    models.BooleanField(default=False, help_text="Whether failed requests (status ≥ 400) cost too."),
                ),
                (
                    "effective_from",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="Requests from this time on pay it."
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        help_text="When the version was made.",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        help_text="Who of the staff made it; empty: a command.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "minimum",
                    models.DecimalField(
                        blank=True,
                        db_default=Decimal("0"),
                        decimal_places=6,
                        default=Decimal("0"),
                        help_text="The least that a request costs, in credits, unless how it ended makes it free; 0: no least.",
                        max_digits=15,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("endpoint", "method", "effective_from"), name="one_price_per_endpoint_method_and_time"
                    ),
                    models.CheckConstraint(condition=models.Q(("credits__gte", 0)), name="price_is_not_negative"),
                    models.CheckConstraint(
                        condition=models.Q(("minimum__gte", 0)), name="minimum_of_a_price_is_not_negative"
                    ),
                ],
                "permissions": [("export_price", "Can export prices")],
            },
        ),
        # A partitioned table, whose primary key Django cannot declare: made in SQL, known to Django as it is.
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(__file__, "0001_request_log")],
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
                                blank=True,
                                help_text="The log or event source that it came from; empty: charged live.",
                                max_length=255,
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
                        "indexes": [
                            models.Index(fields=["user", "occurred_at", "id"], name="requests_of_user_by_time"),
                            django.contrib.postgres.indexes.BrinIndex(
                                autosummarize=True, fields=["occurred_at"], name="requests_by_time", pages_per_range=32
                            ),
                            models.Index(
                                condition=models.Q(("status__gte", 400)),
                                fields=["occurred_at"],
                                name="requests_that_failed",
                            ),
                            models.Index(
                                condition=models.Q(("unpaid", True)), fields=["occurred_at"], name="requests_never_paid"
                            ),
                        ],
                        "permissions": [("export_requestlog", "Can export requests")],
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name="ReconciliationRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started_at", models.DateTimeField(help_text="When it began; it looked at the data of this time.")),
                ("finished_at", models.DateTimeField(help_text="When it was done.")),
                ("is_full", models.BooleanField(help_text="Whether it looked at everybody and everything.")),
                ("findings", models.IntegerField(help_text="How many broken promises it found, and left.")),
                ("report", models.JSONField(help_text="What it looked at, and the first findings.")),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_full", True)), fields=["-finished_at"], name="full_runs_newest_first"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DroppedMonth",
            fields=[
                ("month", models.DateField(help_text="Its first day.", primary_key=True, serialize=False)),
                ("dropped_at", models.DateTimeField(help_text="When it was last dropped.")),
                ("requests", models.BigIntegerField(help_text="How many requests were dropped.")),
                ("credits", models.DecimalField(decimal_places=6, help_text="What they had cost.", max_digits=24)),
                (
                    "first_entry_id",
                    models.BigIntegerField(help_text="The first of the debits that paid for them.", null=True),
                ),
                (
                    "last_entry_id",
                    models.BigIntegerField(help_text="The last of the debits that paid for them.", null=True),
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
                (
                    "next_on",
                    models.DateField(
                        help_text="The UTC day on which the count begins anew; empty: not counted from there on.",
                        null=True,
                    ),
                ),
                (
                    "next_credits",
                    models.DecimalField(
                        db_default=0,
                        decimal_places=6,
                        default=0,
                        help_text="Credits debited since then, less refunds.",
                        max_digits=24,
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
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("balance_below", "Balance below"),
                            ("runway_below", "Runway below"),
                            ("depleted", "Depleted"),
                            ("grant_expiring", "Grant expiring"),
                        ],
                        help_text="What it looks at.",
                        max_length=14,
                    ),
                ),
                (
                    "credits",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="Available credits below which it is told.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                (
                    "days",
                    models.SmallIntegerField(
                        help_text="Days of credit left below which it is told, or days before an expiry.", null=True
                    ),
                ),
                (
                    "is_enabled",
                    models.BooleanField(db_default=True, default=True, help_text="Whether it is told at all."),
                ),
                (
                    "by_email",
                    models.BooleanField(db_default=True, default=True, help_text="Whether by email, besides webhooks."),
                ),
                (
                    "crossed_at",
                    models.DateTimeField(
                        help_text="Since when it is so, once that was told; empty: it is not, or is no matter of crossing.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(help_text="When it was made.")),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="alerts",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("crossed_at__isnull", False)), fields=["id"], name="alerts_crossed"
                    ),
                    models.Index(
                        condition=models.Q(("is_enabled", True), ("kind", "runway_below")),
                        fields=["id"],
                        name="alerts_of_runway",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "kind", "credits", "days"), name="alert_is_there_once", nulls_distinct=False
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("kind__in", ("depleted", "grant_expiring"))),
                        fields=("user", "kind"),
                        name="default_alert_is_there_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("credits__gt", 0), ("days__isnull", True), ("kind", "balance_below")),
                            models.Q(("credits__isnull", True), ("days__isnull", True), ("kind", "depleted")),
                            models.Q(
                                ("credits__isnull", True),
                                ("days__gte", 1),
                                ("days__lte", 365),
                                ("kind__in", ["runway_below", "grant_expiring"]),
                            ),
                            _connector="OR",
                        ),
                        name="alert_has_what_its_kind_needs",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ImportedCustomer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(help_text="The log's name, given by the operator.", max_length=100)),
                ("value", models.CharField(help_text="The host or user name, in one spelling.", max_length=254)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When an import first met it."
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "name in logs",
                "verbose_name_plural": "names in logs",
                "indexes": [models.Index(fields=["value"], name="names_in_logs")],
                "constraints": [
                    models.UniqueConstraint(fields=("source", "value"), name="a_name_in_a_log_is_one_customer")
                ],
            },
        ),
    ]
