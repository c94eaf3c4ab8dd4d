import django.contrib.postgres.functions
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_rotated_keys_know_the_original"),
    ]

    operations = [
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "type",
                    models.CharField(
                        help_text="What kind of thing, as a dotted word such as balance.low.", max_length=64
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="What makes it one of a kind: the same thing is told once.", max_length=255
                    ),
                ),
                (
                    "message_id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        editable=False,
                        help_text="Its name in webhooks, the same at every attempt.",
                    ),
                ),
                ("data", models.JSONField(help_text="The particulars, as webhooks carry them.")),
                (
                    "subject",
                    models.CharField(help_text="Subject of the email; empty: no email.", max_length=200, null=True),
                ),
                ("body", models.TextField(help_text="Text of the email.", null=True)),
                ("created_at", models.DateTimeField(help_text="When it happened.")),
                (
                    "email_due_at",
                    models.DateTimeField(help_text="When the email is to be sent or tried again.", null=True),
                ),
                (
                    "email_tries",
                    models.SmallIntegerField(db_default=0, default=0, help_text="How often sending it was begun."),
                ),
                ("emailed_at", models.DateTimeField(help_text="When the mail server took the email.", null=True)),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Who is told.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notices",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("email_due_at__isnull", False)),
                        fields=["email_due_at"],
                        name="notices_to_email",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "type", "key"), name="a_thing_is_told_once"),
                    models.CheckConstraint(
                        condition=models.Q(("type__regex", "^[a-z_]+(\\.[a-z_]+)+$")),
                        name="notice_type_is_a_dotted_word",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("body__isnull", True),
                                ("email_due_at__isnull", True),
                                ("emailed_at__isnull", True),
                                ("subject__isnull", True),
                            ),
                            models.Q(("body__isnull", False), ("subject__isnull", False)),
                            _connector="OR",
                        ),
                        name="only_a_notice_with_a_text_is_emailed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("email_due_at__isnull", True), ("emailed_at__isnull", True), _connector="OR"
                        ),
                        name="an_email_that_was_sent_is_not_due",
                    ),
                ],
            },
        ),
    ]
