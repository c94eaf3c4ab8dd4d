from decimal import Decimal

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0013_freezing_and_overdraft"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PaymentMethod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(help_text="Which provider keeps it.", max_length=20)),
                ("provider_method_id", models.CharField(help_text="The provider's name for it.", max_length=255)),
                ("brand", models.CharField(help_text="Visa and the like, as the provider says it.", max_length=30)),
                ("last4", models.CharField(help_text="Its last four digits.", max_length=4)),
                ("expiry_month", models.SmallIntegerField(help_text="Month in which it expires, 1 to 12.")),
                ("expiry_year", models.SmallIntegerField(help_text="Year in which it expires.")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When it was saved."
                    ),
                ),
                (
                    "removed_at",
                    models.DateTimeField(help_text="Since when it may not be charged; empty: it may.", null=True),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payment_methods",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("credits", models.DecimalField(decimal_places=6, help_text="Credits that it gives.", max_digits=15)),
                (
                    "amount_minor",
                    models.BigIntegerField(help_text="What is to be paid, in the currency's smallest unit."),
                ),
                ("currency", models.CharField(help_text="ISO 4217 code.", max_length=3)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("requires_action", "Requires action"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="pending",
                        help_text="Where it stands.",
                        max_length=15,
                    ),
                ),
                ("provider", models.CharField(help_text="Who takes the money.", max_length=20)),
                (
                    "provider_key",
                    models.UUIDField(help_text="Our name for it at the provider: its idempotency key.", unique=True),
                ),
                (
                    "provider_customer_id",
                    models.CharField(help_text="The provider's name for the customer.", max_length=255),
                ),
                (
                    "provider_payment_id",
                    models.CharField(help_text="The provider's name for the payment.", max_length=255, null=True),
                ),
                (
                    "checkout_id",
                    models.CharField(help_text="The provider's page on which it is paid.", max_length=255, null=True),
                ),
                (
                    "action_url",
                    models.TextField(help_text="Where the customer goes on, while action is required.", null=True),
                ),
                (
                    "client_secret",
                    models.CharField(
                        help_text="With which the provider's own script goes on, while action is required.",
                        max_length=255,
                        null=True,
                    ),
                ),
                ("failure_code", models.CharField(help_text="Why it failed, as a word.", max_length=100, null=True)),
                (
                    "failure_message",
                    models.TextField(help_text="Why it failed, as a sentence for the customer.", null=True),
                ),
                (
                    "refunded_minor",
                    models.BigIntegerField(
                        db_default=0, help_text="What the provider has given back of it, disputes apart; never falls."
                    ),
                ),
                (
                    "idempotency_key",
                    models.CharField(help_text="The customer's name for this very purchase.", max_length=255),
                ),
                ("fingerprint", models.BinaryField(help_text="SHA-256 of what was asked under that key.")),
                ("created_at", models.DateTimeField(help_text="When it was asked for.")),
                ("asked_at", models.DateTimeField(help_text="When the provider was last asked about it.")),
                ("expires_at", models.DateTimeField(help_text="Until when the customer may act.")),
                ("settled_at", models.DateTimeField(help_text="When it succeeded, failed or expired.", null=True)),
                ("receipt_sent_at", models.DateTimeField(help_text="When the receipt was sent by email.", null=True)),
                (
                    "entry",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The entry that gave the credits.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payments",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "method",
                    models.ForeignKey(
                        help_text="The saved card that was charged; empty: the customer pays on the provider's page.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.paymentmethod",
                    ),
                ),
            ],
            options={
                "permissions": [("settle_payment", "Can ask the provider what became of a payment")],
            },
        ),
        migrations.CreateModel(
            name="PaymentOutcome",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("answer", "The provider's answer"),
                            ("webhook", "The provider's message"),
                            ("settling", "Asked again"),
                        ],
                        help_text="How it was learnt.",
                        max_length=10,
                    ),
                ),
                ("outcome", models.CharField(help_text="The state it came to, or what went wrong.", max_length=30)),
                ("detail", models.TextField(help_text="What was said about it.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text="When."),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        help_text="Of which.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="outcomes",
                        to="ledger.payment",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TopUpPackage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.SlugField(help_text="Names the package in the API.", unique=True)),
                ("name", models.CharField(help_text="As customers read it, on receipts too.", max_length=100)),
                ("credits", models.DecimalField(decimal_places=6, help_text="Credits that it gives.", max_digits=15)),
                (
                    "price_minor",
                    models.BigIntegerField(
                        help_text="In the currency's smallest unit: 1250 is 12.50 USD, or 1250 JPY.",
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="price in minor units",
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        help_text="ISO 4217 code, in capital letters.",
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{3}\\Z", "Write three capital letters, such as USD."
                            )
                        ],
                    ),
                ),
                ("is_active", models.BooleanField(default=True, help_text="Cleared to sell it no more.")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("credits__gt", 0),
                            ("credits__lte", Decimal("999999999.999999")),
                            ("price_minor__range", (1, 99999999)),
                        ),
                        name="package_gives_credits_for_money",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="package_has_a_currency"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="payment",
            name="package",
            field=models.ForeignKey(
                help_text="What was bought.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ledger.topuppackage",
            ),
        ),
        migrations.CreateModel(
            name="PaymentCustomer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(help_text="Which provider.", max_length=20)),
                (
                    "provider_customer_id",
                    models.CharField(help_text="The provider's name for the customer.", max_length=255),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When it was made."
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "provider"), name="customer_is_known_once_to_a_provider"),
                    models.UniqueConstraint(
                        fields=("provider", "provider_customer_id"), name="provider_customer_is_one_of_ours"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PaymentDispute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider_dispute_id", models.CharField(help_text="The provider's name for it.", max_length=255)),
                (
                    "amount_minor",
                    models.BigIntegerField(help_text="What was taken back, in the currency's smallest unit."),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("won", "Won"), ("lost", "Lost")],
                        help_text="Whether the money came back.",
                        max_length=4,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When we learnt of it."
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        help_text="Of which.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="ledger.payment",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("payment", "provider_dispute_id"), name="dispute_is_noted_once"),
                    models.CheckConstraint(condition=models.Q(("amount_minor__gt", 0)), name="dispute_is_about_money"),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="paymentmethod",
            constraint=models.UniqueConstraint(fields=("provider", "provider_method_id"), name="card_is_saved_once"),
        ),
        migrations.AddConstraint(
            model_name="paymentmethod",
            constraint=models.CheckConstraint(
                condition=models.Q(("expiry_month__range", (1, 12))), name="card_expires_in_some_month"
            ),
        ),
        migrations.AddIndex(model_name="payment", index=models.Index(fields=["user", "id"], name="payments_of_user")),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("state__in", ["pending", "requires_action"])),
                fields=["asked_at"],
                name="payments_in_doubt",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("receipt_sent_at__isnull", True), ("state", "succeeded")),
                fields=["id"],
                name="payments_without_receipt",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(fields=("user", "idempotency_key"), name="payment_key_is_used_once"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                fields=("provider", "provider_payment_id"), name="provider_payment_is_credited_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(fields=("provider", "checkout_id"), name="checkout_is_of_one_payment"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "requires_action", "succeeded", "failed", "expired"])),
                name="payment_state_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("entry__isnull", False), ("state", "succeeded")),
                    models.Q(models.Q(("state", "succeeded"), _negated=True), ("entry__isnull", True)),
                    _connector="OR",
                ),
                name="payment_succeeded_has_its_entry",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount_minor__gt", 0),
                    ("credits__gt", 0),
                    ("refunded_minor__gte", 0),
                    ("refunded_minor__lte", models.F("amount_minor")),
                ),
                name="payment_refunds_at_most_what_was_paid",
            ),
        ),
        sql_file(__file__, "0014_payments"),
    ]
