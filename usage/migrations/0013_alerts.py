import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0012_free_charges_and_expired_lots"),
        ("ledger", "0016_thresholds"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # On the way back, the thresholds of alerts go with them.
        migrations.RunSQL(
            migrations.RunSQL.noop,
            "DELETE FROM ledger_threshold WHERE name LIKE 'alert-%';"
            "UPDATE ledger_balance b SET watch_below = (SELECT max(t.below) FROM ledger_threshold t"
            " WHERE t.user_id = b.user_id AND t.crossed_at IS NULL) WHERE watch_below IS NOT NULL",
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
    ]
