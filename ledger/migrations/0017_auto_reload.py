import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0016_thresholds"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AutoReload",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="auto_reload",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("enabled", models.BooleanField(default=False, help_text="Whether credits are bought unasked.")),
                (
                    "threshold",
                    models.DecimalField(
                        decimal_places=6, help_text="Available credits below which it buys.", max_digits=15, null=True
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="Credits that it buys, or so many times that.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                (
                    "target",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="Available credits that it buys up to, instead.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                (
                    "monthly_cap_minor",
                    models.BigIntegerField(
                        help_text="What it may cost in a calendar month (UTC), in the currency's smallest unit.",
                        null=True,
                    ),
                ),
                (
                    "currency",
                    models.CharField(help_text="ISO 4217 code of the price agreed to.", max_length=3, null=True),
                ),
                (
                    "price_minor",
                    models.BigIntegerField(
                        help_text="Price of 1,000 credits agreed to, in the currency's smallest unit.", null=True
                    ),
                ),
                (
                    "consented_at",
                    models.DateTimeField(help_text="When the customer last agreed to the terms.", null=True),
                ),
                ("sentence", models.TextField(help_text="The words that were agreed to.", null=True)),
                (
                    "off_reason",
                    models.CharField(
                        choices=[
                            ("customer", "The customer turned it off"),
                            ("staff", "Staff turned it off"),
                            ("declined", "Three payments in a row were declined"),
                            ("method_removed", "The card was removed"),
                            ("price_changed", "The price is no longer the one agreed to"),
                        ],
                        help_text="Why it is off; empty: on, or never was.",
                        max_length=15,
                        null=True,
                    ),
                ),
                ("turned_off_at", models.DateTimeField(help_text="When it was turned off.", null=True)),
                (
                    "declines_in_a_row",
                    models.SmallIntegerField(
                        db_default=0, default=0, help_text="Payments that were declined since the last that succeeded."
                    ),
                ),
                ("last_attempt_at", models.DateTimeField(help_text="When a payment was last begun.", null=True)),
                (
                    "next_attempt_at",
                    models.DateTimeField(help_text="Before then no payment is begun; empty: at once.", null=True),
                ),
                (
                    "cap_reached_in",
                    models.DateField(
                        help_text="First day of the month whose cap has stopped it, until it buys again.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(help_text="When the customer first set terms.")),
                ("updated_at", models.DateTimeField(help_text="When anything here last changed.")),
            ],
            options={
                "permissions": [("switch_off_auto_reload", "Can switch off a customer's auto-reload")],
            },
        ),
        migrations.CreateModel(
            name="AutoReloadEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("enabled", "Turned on"),
                            ("changed", "Terms changed"),
                            ("disabled", "Turned off"),
                            ("attempt", "Payment begun"),
                            ("cap_reached", "Stopped by the monthly cap"),
                        ],
                        help_text="What happened.",
                        max_length=11,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("customer", "The customer turned it off"),
                            ("staff", "Staff turned it off"),
                            ("declined", "Three payments in a row were declined"),
                            ("method_removed", "The card was removed"),
                            ("price_changed", "The price is no longer the one agreed to"),
                        ],
                        help_text="Why it was turned off, as a word.",
                        max_length=15,
                        null=True,
                    ),
                ),
                ("note", models.TextField(help_text="What staff wrote about it; customers do not see it.", null=True)),
                ("sentence", models.TextField(help_text="The words that were agreed to.", null=True)),
                (
                    "threshold",
                    models.DecimalField(decimal_places=6, help_text="As agreed to.", max_digits=15, null=True),
                ),
                ("amount", models.DecimalField(decimal_places=6, help_text="As agreed to.", max_digits=15, null=True)),
                ("target", models.DecimalField(decimal_places=6, help_text="As agreed to.", max_digits=15, null=True)),
                (
                    "monthly_cap_minor",
                    models.BigIntegerField(help_text="As agreed to, in the currency's smallest unit.", null=True),
                ),
                ("currency", models.CharField(help_text="ISO 4217 code.", max_length=3, null=True)),
                (
                    "idempotency_key",
                    models.CharField(help_text="Key of the form that staff sent.", max_length=255, null=True),
                ),
                ("created_at", models.DateTimeField(help_text="When.")),
            ],
        ),
        migrations.AddField(
            model_name="payment",
            name="kind",
            field=models.CharField(
                choices=[("top_up", "Top-up"), ("auto_reload", "Auto-reload")],
                db_default="top_up",
                default="top_up",
                help_text="Whether the customer bought, or auto-reload for them.",
                max_length=11,
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("kind", "auto_reload")), fields=["user", "created_at"], name="reloads_of_user"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "auto_reload"), ("state__in", ["pending", "requires_action"])),
                fields=("user",),
                name="one_reload_is_in_flight",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["top_up", "auto_reload"])), name="payment_kind_is_known"
            ),
        ),
        migrations.AddField(
            model_name="autoreload",
            name="consented_by",
            field=models.ForeignKey(
                db_index=False,
                help_text="Who agreed.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="autoreload",
            name="method",
            field=models.ForeignKey(
                help_text="The saved card it charges.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ledger.paymentmethod",
            ),
        ),
        migrations.AddField(
            model_name="autoreloadevent",
            name="actor",
            field=models.ForeignKey(
                db_index=False,
                help_text="Who did it; empty: nobody, it follows from the rules.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="autoreloadevent",
            name="payment",
            field=models.OneToOneField(
                help_text="The payment begun.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reload_event",
                to="ledger.payment",
            ),
        ),
        migrations.AddField(
            model_name="autoreloadevent",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                help_text="The customer.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="autoreload",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("enabled", False),
                    models.Q(
                        ("consented_at__isnull", False),
                        ("consented_by__isnull", False),
                        ("currency__isnull", False),
                        ("method__isnull", False),
                        ("monthly_cap_minor__gt", 0),
                        ("monthly_cap_minor__isnull", False),
                        ("off_reason__isnull", True),
                        ("price_minor__gt", 0),
                        ("price_minor__isnull", False),
                        ("sentence__isnull", False),
                        ("threshold__gt", 0),
                        ("threshold__isnull", False),
                        models.Q(
                            models.Q(("amount__gt", 0), ("amount__isnull", False), ("target__isnull", True)),
                            models.Q(
                                ("amount__isnull", True),
                                ("target__gt", models.F("threshold")),
                                ("target__isnull", False),
                            ),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="reload_that_is_on_was_agreed_to",
            ),
        ),
        migrations.AddConstraint(
            model_name="autoreload",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("off_reason__isnull", True),
                    ("off_reason__in", ["customer", "staff", "declined", "method_removed", "price_changed"]),
                    _connector="OR",
                ),
                name="reload_is_off_for_a_known_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="autoreload",
            constraint=models.CheckConstraint(
                condition=models.Q(("declines_in_a_row__gte", 0)), name="reload_declines_are_counted"
            ),
        ),
        migrations.AddIndex(
            model_name="autoreloadevent",
            index=models.Index(fields=["user", "id"], name="reload_events_of_user"),
        ),
        migrations.AddConstraint(
            model_name="autoreloadevent",
            constraint=models.UniqueConstraint(fields=("user", "idempotency_key"), name="reload_form_is_taken_once"),
        ),
        migrations.AddConstraint(
            model_name="autoreloadevent",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["enabled", "changed", "disabled", "attempt", "cap_reached"])),
                name="reload_event_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="autoreloadevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "attempt"), ("payment__isnull", False)),
                    models.Q(models.Q(("kind", "attempt"), _negated=True), ("payment__isnull", True)),
                    _connector="OR",
                ),
                name="reload_attempt_has_its_payment",
            ),
        ),
        sql_file(__file__, "0017_auto_reload"),
    ]
