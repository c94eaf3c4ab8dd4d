import datetime
from decimal import Decimal

import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Balance",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="balance",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "balance",
                    models.DecimalField(
                        db_default=Decimal("0"),
                        decimal_places=6,
                        help_text="Sum of all entries, in credits.",
                        max_digits=15,
                    ),
                ),
                (
                    "reserved",
                    models.DecimalField(
                        db_default=Decimal("0"), decimal_places=6, help_text="Credits in open holds.", max_digits=15
                    ),
                ),
                (
                    "granted_total",
                    models.DecimalField(
                        db_default=Decimal("0"),
                        decimal_places=6,
                        help_text="Sum of all entries that are neither usage nor a refund of it.",
                        max_digits=24,
                    ),
                ),
                (
                    "overdraft_limit",
                    models.DecimalField(
                        db_default=Decimal("0"),
                        decimal_places=6,
                        help_text="How far below zero available may fall.",
                        max_digits=15,
                    ),
                ),
                (
                    "seq",
                    models.BigIntegerField(
                        db_default=0, help_text="Number of entries so far; the latest entry's place."
                    ),
                ),
                ("seal", models.BinaryField(db_default=b"", help_text="The latest entry's seal; empty before any.")),
                (
                    "next_expiry_at",
                    models.DateTimeField(
                        db_default=datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.UTC),
                        help_text="No hold and no grant expires before this time (it may be early, never late).",
                    ),
                ),
                (
                    "frozen_at",
                    models.DateTimeField(help_text="Since when nothing may be spent; empty: not frozen.", null=True),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="Last change of balance or reserved.",
                    ),
                ),
                (
                    "watch_below",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="The highest threshold that is armed: falling below it is noted; empty: none.",
                        max_digits=15,
                        null=True,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("reserved__gte", 0),
                            ("overdraft_limit__gte", 0),
                            ("seq__gte", 0),
                            (
                                "balance__gte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("reserved"), "-", models.F("overdraft_limit")
                                ),
                            ),
                            ("balance__lte", Decimal("999999999.999999")),
                        ),
                        name="balance_covers_holds_and_overdraft",
                    )
                ],
                "permissions": [
                    ("freeze_balance", "Can freeze and unfreeze a customer's balance"),
                    ("set_overdraft", "Can set how far a customer's balance may be overdrawn"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.BigAutoField(help_text="Names the entry in the API.", primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField(help_text="Place in the customer's ledger: 1, 2, 3 … without gaps.")),
                (
                    "type",
                    models.CharField(
                        choices=[("credit", "Credit"), ("debit", "Debit"), ("adjustment", "Adjustment")],
                        help_text="Credit, debit or adjustment.",
                        max_length=10,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("purchase", "Purchase"),
                            ("grant", "Grant"),
                            ("auto_reload", "Auto-reload"),
                            ("usage", "Usage"),
                            ("capture", "Captured hold"),
                            ("refund", "Refund of usage"),
                            ("reversal", "Reversal of usage"),
                            ("expiry", "Expired credits"),
                            ("goodwill", "Goodwill"),
                            ("correction", "Correction"),
                            ("chargeback", "Chargeback"),
                        ],
                        help_text="Why the balance changed.",
                        max_length=11,
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=6, help_text="Signed credits: what was added to the balance.", max_digits=15
                    ),
                ),
                (
                    "balance_after",
                    models.DecimalField(
                        decimal_places=6, help_text="The previous entry's balance_after plus amount.", max_digits=15
                    ),
                ),
                ("description", models.TextField(help_text="What happened, for people.")),
                (
                    "reference",
                    models.CharField(
                        help_text="Payment id, request id or the like; empty: none.", max_length=255, null=True
                    ),
                ),
                ("metadata", models.JSONField(db_default={}, help_text="Whatever the caller wants to keep with it.")),
                (
                    "operation",
                    models.CharField(
                        help_text="Which operation made it; its idempotency keys are its own.", max_length=20
                    ),
                ),
                (
                    "idempotency_key",
                    models.CharField(help_text="The caller's name for this very change.", max_length=255),
                ),
                ("fingerprint", models.BinaryField(help_text="SHA-256 of what was asked under that key.")),
                ("created_at", models.DateTimeField(help_text="When; never earlier than the entry before it.")),
                (
                    "seal",
                    models.BinaryField(help_text="SHA-256 over the previous entry's seal and this entry's own fields."),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="Who of the staff made it; empty: nobody by hand.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "reverses",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The entry that this one takes back, wholly or in part.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversals",
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
                        related_name="entries",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "entries",
                "indexes": [
                    models.Index(
                        condition=models.Q(("reference__isnull", False)),
                        fields=["user", "reference"],
                        name="entries_by_reference",
                    ),
                    models.Index(
                        models.F("user"),
                        models.F("type"),
                        models.F("seq"),
                        condition=models.Q(("type", "debit"), _negated=True),
                        name="entries_that_are_not_debits",
                    ),
                    django.contrib.postgres.indexes.BrinIndex(
                        autosummarize=True, fields=["created_at"], name="entries_by_time", pages_per_range=32
                    ),
                    models.Index(
                        condition=models.Q(("reason__in", ["usage", "capture"]), _negated=True),
                        fields=["reason", "id"],
                        name="entries_that_are_not_usage",
                    ),
                    models.Index(
                        condition=models.Q(("reverses__isnull", False)),
                        fields=["reverses"],
                        name="entries_by_what_they_reverse",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "seq"), name="entry_seq_is_gapless_per_user"),
                    models.UniqueConstraint(
                        fields=("user", "operation", "idempotency_key"), name="entry_key_is_used_once_per_operation"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                models.Q(("amount__gt", 0), ("type", "credit")),
                                models.Q(("amount__lt", 0), ("type", "debit")),
                                models.Q(("type", "adjustment"), models.Q(("amount", 0), _negated=True)),
                                _connector="OR",
                            ),
                            ("seq__gt", 0),
                            ("amount__lte", Decimal("999999999.999999")),
                        ),
                        name="entry_sign_fits_type",
                    ),
                ],
                "permissions": [
                    ("adjust_credits", "Can adjust a customer's credits by hand"),
                    ("export_entry", "Can export entries"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "credits",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits set aside when it was opened.", max_digits=15
                    ),
                ),
                (
                    "captured",
                    models.DecimalField(
                        db_default=Decimal("0"),
                        decimal_places=6,
                        help_text="Credits of it spent so far.",
                        max_digits=15,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("captured", "Captured"),
                            ("released", "Released"),
                            ("expired", "Expired"),
                        ],
                        db_default="open",
                        help_text="Where it stands.",
                        max_length=8,
                    ),
                ),
                (
                    "expires_at",
                    models.DateTimeField(help_text="From this time it holds nothing, whether or not a job has run."),
                ),
                (
                    "reference",
                    models.CharField(help_text="The caller's own name for the work.", max_length=255, null=True),
                ),
                ("metadata", models.JSONField(db_default={}, help_text="Whatever the caller wants to keep with it.")),
                (
                    "idempotency_key",
                    models.CharField(help_text="The caller's name for this very hold.", max_length=255),
                ),
                ("fingerprint", models.BinaryField(help_text="SHA-256 of what was asked under that key.")),
                ("created_at", models.DateTimeField(help_text="When it was opened.")),
                (
                    "settled_at",
                    models.DateTimeField(help_text="When it was captured, released or had expired.", null=True),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="holds",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The customer's key that it was opened by, when known.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.apikey",
                    ),
                ),
                (
                    "purpose",
                    models.JSONField(
                        help_text="What metering finds again at the capture: endpoint, units, method.", null=True
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "open")),
                        fields=["user", "expires_at"],
                        name="open_holds_by_expiry",
                    ),
                    models.Index(fields=["user", "id"], name="holds_of_user"),
                    models.Index(
                        condition=models.Q(("status__in", ["expired", "released"])),
                        fields=["user", "status", "id"],
                        name="holds_given_back",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "idempotency_key"), name="hold_key_is_used_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("credits__gte", 0), ("captured__gte", 0), ("captured__lte", models.F("credits"))
                        ),
                        name="hold_captures_at_most_what_it_holds",
                    ),
                ],
                "permissions": [("export_hold", "Can export holds")],
            },
        ),
        migrations.CreateModel(
            name="OperationKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("operation", models.CharField(help_text="Which operation.", max_length=20)),
                (
                    "idempotency_key",
                    models.CharField(help_text="The caller's name for this very call.", max_length=255),
                ),
                ("fingerprint", models.BinaryField(help_text="SHA-256 of what was asked under that key.")),
                ("subject_id", models.BigIntegerField(help_text="What it made or changed: a request, a hold.")),
                ("result", models.JSONField(db_default={}, help_text="The answer's immutable fields.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text="When."),
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
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "operation", "idempotency_key"), name="operation_key_is_used_once_per_operation"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TermsChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("freeze", "Frozen"), ("unfreeze", "Unfrozen"), ("overdraft", "Overdraft limit")],
                        help_text="What was done.",
                        max_length=10,
                    ),
                ),
                (
                    "limit_before",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="The overdraft limit that was replaced, in credits.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                (
                    "limit_after",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="The overdraft limit in its place, in credits.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                ("note", models.TextField(help_text="Why: for the staff alone.")),
                (
                    "idempotency_key",
                    models.CharField(help_text="The caller's name for this very change.", max_length=255),
                ),
                ("fingerprint", models.BinaryField(help_text="SHA-256 of what was asked under that key.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text="When."),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        help_text="Who of the staff did it; empty: nobody, it follows from the rules.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="terms_changes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "change of terms",
                "verbose_name_plural": "changes of terms",
                "constraints": [
                    models.UniqueConstraint(fields=("user", "idempotency_key"), name="terms_key_is_used_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("kind__in", ["freeze", "unfreeze"]),
                                ("limit_after__isnull", True),
                                ("limit_before__isnull", True),
                            ),
                            models.Q(
                                ("kind", "overdraft"),
                                ("limit_after__gte", 0),
                                ("limit_before__gte", 0),
                                models.Q(("limit_after", models.F("limit_before")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="terms_change_says_what_changed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("note", ""), _negated=True), name="terms_change_says_why"
                    ),
                ],
            },
        ),
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
                (
                    "fingerprint",
                    models.CharField(
                        help_text="The provider's name for the card itself, however often it is saved.",
                        max_length=255,
                        null=True,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("fingerprint__isnull", False)),
                        fields=["provider", "fingerprint"],
                        name="cards_that_are_the_same",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "provider_method_id"), name="card_is_saved_once"),
                    models.CheckConstraint(
                        condition=models.Q(("expiry_month__range", (1, 12))), name="card_expires_in_some_month"
                    ),
                ],
            },
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
                        db_default=0,
                        help_text="What the provider has given back of it, disputes apart, and what failed of that.",
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
                (
                    "package",
                    models.ForeignKey(
                        help_text="What was bought.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.topuppackage",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("top_up", "Top-up"), ("auto_reload", "Auto-reload")],
                        db_default="top_up",
                        default="top_up",
                        help_text="Whether the customer bought, or auto-reload for them.",
                        max_length=11,
                    ),
                ),
                (
                    "paid_with",
                    models.CharField(
                        help_text="The provider's name for the card that paid, saved before or by paying.",
                        max_length=255,
                        null=True,
                    ),
                ),
                (
                    "credits_owed",
                    models.DecimalField(
                        db_default=0,
                        decimal_places=6,
                        default=0,
                        help_text="Of its credits: to be taken back, but spent before; taken from whatever comes in.",
                        max_digits=15,
                    ),
                ),
                (
                    "refunded_said_minor",
                    models.BigIntegerField(
                        db_default=0,
                        help_text="The most that the provider has ever said that it gave back in all; never falls.",
                    ),
                ),
            ],
            options={
                "permissions": [
                    ("settle_payment", "Can ask the provider what became of a payment"),
                    ("hear_of_disputes", "Is told of disputes by email"),
                ],
                "indexes": [
                    models.Index(fields=["user", "id"], name="payments_of_user"),
                    models.Index(
                        condition=models.Q(("state__in", ["pending", "requires_action"])),
                        fields=["asked_at"],
                        name="payments_in_doubt",
                    ),
                    models.Index(
                        condition=models.Q(("kind", "auto_reload")),
                        fields=["user", "created_at"],
                        name="reloads_of_user",
                    ),
                    models.Index(
                        condition=models.Q(("kind", "top_up")), fields=["user", "created_at"], name="top_ups_of_user"
                    ),
                    models.Index(
                        condition=models.Q(("credits_owed__gt", 0)), fields=["user"], name="payments_that_owe"
                    ),
                    models.Index(
                        condition=models.Q(("refunded_minor__gt", 0), ("refunded_said_minor__gt", 0), _connector="OR"),
                        fields=["id"],
                        name="payments_refunded",
                    ),
                    models.Index(
                        condition=models.Q(("state", "failed")), fields=["created_at"], name="payments_failed"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "idempotency_key"), name="payment_key_is_used_once"),
                    models.UniqueConstraint(
                        fields=("provider", "provider_payment_id"), name="provider_payment_is_credited_once"
                    ),
                    models.UniqueConstraint(fields=("provider", "checkout_id"), name="checkout_is_of_one_payment"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["pending", "requires_action", "succeeded", "failed", "expired"])
                        ),
                        name="payment_state_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("entry__isnull", False), ("state", "succeeded")),
                            models.Q(models.Q(("state", "succeeded"), _negated=True), ("entry__isnull", True)),
                            _connector="OR",
                        ),
                        name="payment_succeeded_has_its_entry",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_minor__gt", 0),
                            ("credits__gt", 0),
                            ("refunded_minor__gte", 0),
                            ("refunded_minor__lte", models.F("amount_minor")),
                        ),
                        name="payment_refunds_at_most_what_was_paid",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "auto_reload"), ("state__in", ["pending", "requires_action"])),
                        fields=("user",),
                        name="one_reload_is_pending",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["top_up", "auto_reload"])), name="payment_kind_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("credits_owed__gte", 0), ("credits_owed__lte", models.F("credits"))),
                        name="payment_owes_at_most_its_credits",
                    ),
                ],
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
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "won"), _negated=True),
                        fields=["payment"],
                        name="disputes_not_won",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="GrantProgress",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        db_constraint=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="grant_progress",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("seq", models.BigIntegerField(help_text="Place of the last entry that was settled.")),
                (
                    "overdrawn",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="Credits that debits took beyond all grants; the next grants pay them.",
                        max_digits=15,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "progress of grants",
            },
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        db_constraint=False,
                        help_text="The entry that brought the credits; its id is the grant's too.",
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="grant",
                        serialize=False,
                        to="ledger.entry",
                    ),
                ),
                ("seq", models.BigIntegerField(help_text="The entry's place in the customer's ledger.")),
                (
                    "amount",
                    models.DecimalField(decimal_places=6, help_text="Credits that it began with.", max_digits=15),
                ),
                (
                    "remaining",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits neither spent nor expired.", max_digits=15
                    ),
                ),
                (
                    "expired",
                    models.DecimalField(
                        db_default=Decimal("0"),
                        decimal_places=6,
                        help_text="Credits of it that expired unspent.",
                        max_digits=15,
                    ),
                ),
                (
                    "category",
                    models.CharField(
                        choices=[("paid", "Paid"), ("promotional", "Promotional")],
                        help_text="Bought, or given.",
                        max_length=11,
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(
                        db_default=50, help_text="0 to 100; grants of a lower number are spent first."
                    ),
                ),
                (
                    "effective_at",
                    models.DateTimeField(help_text="Since when it counts; of like grants the earlier is spent first."),
                ),
                (
                    "expires_at",
                    models.DateTimeField(help_text="From this time what is left is gone; empty: never.", null=True),
                ),
                (
                    "has_run_out",
                    models.BooleanField(
                        db_default=False,
                        help_text="Its time has come; what remains is only what open holds had reserved.",
                    ),
                ),
                ("expired_at", models.DateTimeField(help_text="When some of it expired last.", null=True)),
                ("created_at", models.DateTimeField(help_text="When the entry was made.")),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grants",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "ran_out_seq",
                    models.BigIntegerField(
                        help_text="Place of the last entry made before its time had come; empty: it has not.", null=True
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False)),
                        fields=["user", "expires_at"],
                        name="grants_by_expiry",
                    ),
                    models.Index(
                        models.F("user"),
                        models.F("priority"),
                        models.F("expires_at"),
                        models.OrderBy(models.F("category"), descending=True),
                        models.F("effective_at"),
                        models.F("entry"),
                        condition=models.Q(("remaining__gt", 0)),
                        name="grants_in_order_of_spending",
                    ),
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False), ("remaining__gt", 0)),
                        fields=["user", "expires_at"],
                        name="grants_left_by_expiry",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "entry"), name="grant_is_opened_once_per_entry"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount__gt", 0),
                            ("remaining__gte", 0),
                            ("expired__gte", 0),
                            (
                                "amount__gte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("remaining"), "+", models.F("expired")
                                ),
                            ),
                            ("priority__gte", 0),
                            ("priority__lte", 100),
                            models.Q(
                                ("expires_at__isnull", True),
                                ("expires_at__gt", models.F("effective_at")),
                                _connector="OR",
                            ),
                        ),
                        name="grant_parts_fit_amount",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="GrantDraw",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first_seq", models.BigIntegerField(help_text="Place of the first entry that used it.")),
                ("last_seq", models.BigIntegerField(help_text="Place of the last entry of the run.")),
                (
                    "first_credits",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits of it that the first entry used.", max_digits=15
                    ),
                ),
                (
                    "last_credits",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits of it that the last entry used.", max_digits=15
                    ),
                ),
                (
                    "credits",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits of it that all of them used.", max_digits=15
                    ),
                ),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The grant.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="draws",
                        to="ledger.grant",
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
                "constraints": [
                    models.UniqueConstraint(fields=("user", "last_seq", "grant"), name="grant_is_drawn_once_per_entry"),
                    models.CheckConstraint(
                        condition=models.Q(("first_seq__lte", models.F("last_seq"))), name="draw_is_a_run"
                    ),
                ],
            },
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
                            ("disputed", "A payment was disputed"),
                            ("refunded", "A payment of auto-reload was refunded"),
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
                (
                    "consented_by",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Who agreed.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "method",
                    models.ForeignKey(
                        help_text="The saved card it charges.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.paymentmethod",
                    ),
                ),
            ],
            options={
                "permissions": [("switch_off_auto_reload", "Can switch off a customer's auto-reload")],
                "constraints": [
                    models.CheckConstraint(
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
                    models.CheckConstraint(
                        condition=models.Q(("declines_in_a_row__gte", 0)), name="reload_declines_are_counted"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("off_reason__isnull", True),
                            (
                                "off_reason__in",
                                [
                                    "customer",
                                    "staff",
                                    "declined",
                                    "method_removed",
                                    "price_changed",
                                    "disputed",
                                    "refunded",
                                ],
                            ),
                            _connector="OR",
                        ),
                        name="reload_is_off_for_a_known_reason",
                    ),
                ],
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
                            ("disputed", "A payment was disputed"),
                            ("refunded", "A payment of auto-reload was refunded"),
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
                (
                    "actor",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Who did it; empty: nobody, it follows from the rules.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "payment",
                    models.OneToOneField(
                        help_text="The payment begun.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reload_event",
                        to="ledger.payment",
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
                "indexes": [models.Index(fields=["user", "id"], name="reload_events_of_user")],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "idempotency_key"), name="reload_form_is_taken_once"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["enabled", "changed", "disabled", "attempt", "cap_reached"])),
                        name="reload_event_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "attempt"), ("payment__isnull", False)),
                            models.Q(models.Q(("kind", "attempt"), _negated=True), ("payment__isnull", True)),
                            _connector="OR",
                        ),
                        name="reload_attempt_has_its_payment",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SubscriptionChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("start", "Started"),
                            ("upgrade", "Upgraded"),
                            ("plan_later", "Plan changed from the next period"),
                            ("plan_kept", "Change of plan taken back"),
                            ("pause", "Paused"),
                            ("resume", "Resumed"),
                            ("cancel_later", "Canceled to the end of the period"),
                            ("cancel_kept", "Cancellation taken back"),
                            ("cancel", "Canceled"),
                        ],
                        help_text="What was done.",
                        max_length=12,
                    ),
                ),
                (
                    "billing_interval",
                    models.CharField(
                        choices=[("monthly", "Monthly"), ("yearly", "Yearly")],
                        help_text="The length of a period it leads to.",
                        max_length=7,
                    ),
                ),
                (
                    "credits_per_period",
                    models.DecimalField(
                        decimal_places=6, help_text="The credits of each period it leads to.", max_digits=15
                    ),
                ),
                ("effective_at", models.DateTimeField(help_text="From when it counts.")),
                (
                    "credits",
                    models.DecimalField(
                        db_default=Decimal("0"),
                        decimal_places=6,
                        help_text="Credits that it brought by itself.",
                        max_digits=15,
                    ),
                ),
                ("note", models.TextField(help_text="Why: for the staff alone.")),
                (
                    "idempotency_key",
                    models.CharField(help_text="The caller's name for this very change.", max_length=255),
                ),
                ("fingerprint", models.BinaryField(help_text="SHA-256 of what was asked under that key.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text="When."),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        help_text="Who of the staff did it; empty: an operator's command.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The entry that brought them; empty: none.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "kept_entry",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The entry of those that stay longer; empty: none.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        help_text="The plan it leads to.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.plan",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        help_text="The subscription.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="changes",
                        to="accounts.subscription",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscription_changes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "change of a subscription",
                "verbose_name_plural": "changes of subscriptions",
                "constraints": [
                    models.UniqueConstraint(fields=("user", "idempotency_key"), name="subscription_key_is_used_once"),
                    models.CheckConstraint(
                        condition=models.Q(("note", ""), _negated=True), name="subscription_change_says_why"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("credits__gte", 0)), name="subscription_change_takes_nothing"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SubscriptionPeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("starts_at", models.DateTimeField(help_text="When it began.")),
                ("ends_at", models.DateTimeField(help_text="When it ends, exclusive, if nothing ends it before.")),
                (
                    "credits",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits that its beginning brought.", max_digits=15
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When this was written."
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The entry that brought them; empty: none were due.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "kept_entry",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The entry of those that stay longer; empty: all end alike.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        help_text="The plan then.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.plan",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        help_text="The subscription.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="periods",
                        to="accounts.subscription",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscription_periods",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "subscription", "starts_at"), name="period_is_granted_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at")), ("credits__gte", 0)),
                        name="period_has_length_and_credits",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CardSaving",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(help_text="When.")),
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
                "indexes": [models.Index(fields=["user", "created_at"], name="card_savings_of_user")],
            },
        ),
        migrations.CreateModel(
            name="PaymentRefund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider_refund_id", models.CharField(help_text="The provider's name for it.", max_length=255)),
                ("amount_minor", models.BigIntegerField(help_text="How much of it, in the currency's smallest unit.")),
                (
                    "has_failed",
                    models.BooleanField(default=False, help_text="Whether the money did not arrive; never cleared."),
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
                        related_name="refunds",
                        to="ledger.payment",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("payment", "provider_refund_id"), name="refund_is_noted_once"),
                    models.CheckConstraint(condition=models.Q(("amount_minor__gt", 0)), name="refund_is_about_money"),
                ],
            },
        ),
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
        sql_file(__file__, "0001_storage"),
    ]
