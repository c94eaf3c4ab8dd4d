import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_customers_are_told_once"),
    ]

    operations = [
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("url", models.CharField(help_text="Where notices are posted to.", max_length=2048)),
                (
                    "description",
                    models.CharField(blank=True, help_text="What its owner calls it; may be empty.", max_length=200),
                ),
                (
                    "event_types",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        default=list,
                        help_text="Types it is told; empty: all.",
                        size=None,
                    ),
                ),
                (
                    "secret",
                    models.CharField(
                        help_text="What signs each message, as whsec_… (Standard Webhooks).", max_length=100
                    ),
                ),
                (
                    "old_secret",
                    models.CharField(
                        help_text="The one before, which signs as well for a day after the change.",
                        max_length=100,
                        null=True,
                    ),
                ),
                (
                    "old_secret_until",
                    models.DateTimeField(help_text="Until when the one before signs as well.", null=True),
                ),
                ("is_active", models.BooleanField(default=True, help_text="Whether it is told anything.")),
                ("disabled_at", models.DateTimeField(help_text="When it was turned off; empty: it is on.", null=True)),
                (
                    "disabled_reason",
                    models.CharField(
                        choices=[
                            ("customer", "The customer turned it off"),
                            ("failing", "Nothing could be delivered for five days"),
                            ("gone", "It answered 410 Gone"),
                        ],
                        help_text="Why it was turned off.",
                        max_length=10,
                        null=True,
                    ),
                ),
                (
                    "failing_since",
                    models.DateTimeField(
                        help_text="When the first attempt failed of those since the last that did not.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(help_text="When it was made.")),
                (
                    "deleted_at",
                    models.DateTimeField(
                        help_text="When its owner deleted it; it goes with its deliveries.", null=True
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Whose it is.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="webhook_endpoints",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("delivered", "Delivered"), ("failed", "Failed")],
                        default="pending",
                        help_text="Where it stands.",
                        max_length=10,
                    ),
                ),
                ("attempts", models.IntegerField(default=0, help_text="How often it was tried in all.")),
                (
                    "failures",
                    models.SmallIntegerField(
                        default=0, help_text="Failed attempts since it was last sent, or sent again."
                    ),
                ),
                ("due_since", models.DateTimeField(help_text="When it was last sent, or sent again by somebody.")),
                (
                    "next_attempt_at",
                    models.DateTimeField(help_text="When it is tried next; empty: not any more.", null=True),
                ),
                (
                    "claim",
                    models.UUIDField(
                        help_text="Whoever is trying it now; when they are not heard of, the next attempt is another's.",
                        null=True,
                    ),
                ),
                (
                    "last_status",
                    models.IntegerField(help_text="HTTP status of the last answer; empty: none came.", null=True),
                ),
                ("last_error", models.CharField(help_text="Why the last attempt failed.", max_length=200, null=True)),
                ("created_at", models.DateTimeField(help_text="When it was to be delivered first.")),
                ("delivered_at", models.DateTimeField(help_text="When the endpoint last took it.", null=True)),
                (
                    "notice",
                    models.ForeignKey(
                        help_text="What.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="accounts.notice",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The endpoint's owner.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Where to.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="accounts.webhookendpoint",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "webhook deliveries",
                "permissions": [("resend_webhookdelivery", "Can send a webhook delivery again")],
            },
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(help_text="When it began.")),
                ("url", models.CharField(help_text="Where it went.", max_length=2048)),
                ("status", models.IntegerField(help_text="HTTP status of the answer; empty: none came.", null=True)),
                ("error", models.CharField(help_text="Why it failed; empty: it did not.", max_length=200, null=True)),
                ("milliseconds", models.IntegerField(help_text="How long it took.")),
                ("answer", models.TextField(blank=True, help_text="The first kibibyte of the answer.")),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The endpoint's owner.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "delivery",
                    models.ForeignKey(
                        help_text="What was tried.",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="log",
                        to="accounts.webhookdelivery",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__isnull", False), ("error__isnull", False), _connector="OR"),
                        name="an_attempt_has_an_outcome",
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="webhookendpoint",
            index=models.Index(fields=["user", "id"], name="endpoints_of_user"),
        ),
        migrations.AddIndex(
            model_name="webhookendpoint",
            index=models.Index(condition=models.Q(("is_active", True)), fields=["id"], name="endpoints_that_are_on"),
        ),
        migrations.AddConstraint(
            model_name="webhookendpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("disabled_at__isnull", True), ("disabled_reason__isnull", True), ("is_active", True)),
                    models.Q(
                        ("disabled_at__isnull", False),
                        ("disabled_reason__in", ["customer", "failing", "gone"]),
                        ("is_active", False),
                    ),
                    _connector="OR",
                ),
                name="an_endpoint_that_is_off_says_since_when_and_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookendpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("deleted_at__isnull", True), ("is_active", False), _connector="OR"),
                name="a_deleted_endpoint_is_off",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookendpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("old_secret__isnull", True), ("old_secret_until__isnull", True)),
                    models.Q(("old_secret__isnull", False), ("old_secret_until__isnull", False)),
                    _connector="OR",
                ),
                name="an_old_secret_ends",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["endpoint", "id"], name="deliveries_of_endpoint"),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("state", "pending")),
                fields=["endpoint", "next_attempt_at"],
                name="deliveries_that_are_due",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["created_at"], name="deliveries_by_age"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(fields=("user", "endpoint", "notice"), name="an_endpoint_is_told_once"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("next_attempt_at__isnull", False), ("state", "pending")),
                    models.Q(
                        ("claim__isnull", True),
                        ("next_attempt_at__isnull", True),
                        ("state__in", ["delivered", "failed"]),
                    ),
                    _connector="OR",
                ),
                name="a_pending_delivery_has_a_next_attempt",
            ),
        ),
    ]
