import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_people_keys_and_plans"),
    ]

    operations = [
        migrations.CreateModel(
            name="LoginAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "account",
                    models.CharField(help_text="The email address tried, lower case, known or not.", max_length=254),
                ),
                (
                    "address",
                    models.GenericIPAddressField(
                        blank=True, help_text="Where it came from; of IPv6 the /64 network.", null=True
                    ),
                ),
                ("attempted_at", models.DateTimeField(default=django.utils.timezone.now, help_text="When.")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["account", "attempted_at"], name="attempts_on_account"),
                    models.Index(fields=["address", "attempted_at"], name="attempts_from_address"),
                    models.Index(fields=["attempted_at"], name="attempts_by_age"),
                ],
            },
        ),
        migrations.CreateModel(
            name="TokenFamily",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, help_text="When.")),
                (
                    "expires_at",
                    models.DateTimeField(
                        db_index=True, help_text="When the last of its tokens ends; then it may be purged."
                    ),
                ),
                (
                    "revoked_at",
                    models.DateTimeField(blank=True, help_text="From then on none of its tokens is taken.", null=True),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="Who signed in.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "token families",
            },
        ),
        migrations.CreateModel(
            name="SpentRefreshToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("jti", models.CharField(help_text="The token's own id.", max_length=64)),
                (
                    "spent_at",
                    models.DateTimeField(default=django.utils.timezone.now, help_text="When it was exchanged."),
                ),
                (
                    "expires_at",
                    models.DateTimeField(
                        db_index=True, help_text="When the token would have ended; then this row may be purged."
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="Whose token it was.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "family",
                    models.ForeignKey(
                        help_text="The sign-in it came from.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to="accounts.tokenfamily",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="spentrefreshtoken",
            constraint=models.UniqueConstraint(fields=("user", "jti"), name="a_refresh_token_is_spent_once"),
        ),
    ]
