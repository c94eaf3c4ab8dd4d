import datetime
from decimal import Decimal

import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_rotated_keys_know_the_original"),
        ("ledger", "0014_payments"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
                ("seq", models.BigIntegerField(help_text="Place of the last entry that was reckoned.")),
                (
                    "overdrawn",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="Credits that debits took beyond all lots; the next lots pay them.",
                        max_digits=15,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "progress of grants",
            },
        ),
        migrations.AlterField(
            model_name="balance",
            name="next_expiry_at",
            field=models.DateTimeField(
                db_default=datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.UTC),
                help_text="No hold and no grant expires before this moment (it may be early, never late).",
            ),
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        db_constraint=False,
                        help_text="The entry that brought the credits; it names the lot too.",
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
                        db_default=50, help_text="0 to 100; lots of a lower number are spent first."
                    ),
                ),
                (
                    "effective_at",
                    models.DateTimeField(help_text="Since when it counts; of like lots the earlier is spent first."),
                ),
                (
                    "expires_at",
                    models.DateTimeField(help_text="From this moment what is left is gone; empty: never.", null=True),
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
            ],
        ),
        migrations.CreateModel(
            name="GrantDraw",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first_seq", models.BigIntegerField(help_text="Place of the first entry that drew on it.")),
                ("last_seq", models.BigIntegerField(help_text="Place of the last entry of the stretch.")),
                (
                    "first_credits",
                    models.DecimalField(decimal_places=6, help_text="What the first entry drew on it.", max_digits=15),
                ),
                (
                    "last_credits",
                    models.DecimalField(decimal_places=6, help_text="What the last entry drew on it.", max_digits=15),
                ),
                (
                    "credits",
                    models.DecimalField(decimal_places=6, help_text="What all of them drew on it.", max_digits=15),
                ),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The lot.",
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
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)),
                fields=["user", "expires_at"],
                name="grants_by_expiry",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.UniqueConstraint(fields=("user", "entry"), name="grant_is_opened_once_per_entry"),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
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
                        ("expires_at__isnull", True), ("expires_at__gt", models.F("effective_at")), _connector="OR"
                    ),
                ),
                name="grant_parts_fit_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="grantdraw",
            constraint=models.UniqueConstraint(
                fields=("user", "last_seq", "grant"), name="grant_is_drawn_once_per_entry"
            ),
        ),
        migrations.AddConstraint(
            model_name="grantdraw",
            constraint=models.CheckConstraint(
                condition=models.Q(("first_seq__lte", models.F("last_seq"))), name="draw_is_a_stretch"
            ),
        ),
        sql_file(__file__, "0015_grants"),
        sql_file(
            __file__,
            "0015_grants_that_expire",
            restores=(
                "0003_move:ledger_settle_expired",
                "0003_move:ledger_refusal",
                "0011_capture_extend_refund:ledger_refund",
            ),
        ),
    ]
