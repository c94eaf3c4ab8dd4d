import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0012_debits_in_batches"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="balance",
            options={
                "permissions": [
                    ("freeze_balance", "Can freeze and unfreeze a customer's balance"),
                    ("set_overdraft", "Can set how far a customer's balance may be overdrawn"),
                ]
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
                        help_text="Who of the staff did it.",
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
        sql_file(__file__, "0013_freezing_and_overdraft"),
    ]
